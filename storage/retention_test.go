package storage_test

import (
	"context"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage"
	"grapnel/storage/storagetest"
)

// partition creates the tables' partitions for a day.
func (f *fixture) partition(t *testing.T, days int, bases ...string) {
	t.Helper()
	suffix := partitionSuffix(t, f, days)
	for _, base := range bases {
		f.exec(t, `do $$ begin perform lock_partitioned_tables(); execute format('create table if not exists `+base+`_`+suffix+` partition of `+base+` for values from (%L) to (%L)',
			uuid_floor(to_date('`+suffix+`', 'YYYYMMDD')::timestamp at time zone 'utc'),
			uuid_floor((to_date('`+suffix+`', 'YYYYMMDD') + 1)::timestamp at time zone 'utc')); end $$`)
	}
}

// eventAt stores an event of another time with an outstanding delivery and an attempt of it.
func (f *fixture) eventAt(t *testing.T, at time.Time) (hook.EventID, hook.DeliveryID) {
	t.Helper()
	event := hook.EventID(hook.IDTime(at))
	delivery := event
	event[8], delivery[8], delivery[15] = 0x80, 0x80, 7
	f.exec(t, `insert into events (id, tenant_id, type, data, deliveries, created_at) values ($1, $2, 'user.created', '{}', 1, $3)`,
		event[:], hook.DefaultTenant(), at)
	f.exec(t, `insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, attempts, next_attempt_at, created_at, updated_at)
		values ($1, $2, gen_random_uuid(), $3, 'user.created', 'failed', 1, now(), $4, $4)`, delivery[:], event[:], hook.DefaultTenant(), at)
	f.exec(t, `insert into attempts (id, delivery_id, number, manual, url, started_at, duration_us, dns_us, connect_us, tls_us, first_byte_us,
			remote_addr, request_headers, error_class, error)
		values (gen_random_uuid(), $1, 1, false, '', $2, 0, 0, 0, 0, 0, '', '{}', 'timeout', '')`, delivery[:], at)
	f.exec(t, `insert into shared_workflows (event_id, workflow_id) values ($1, 'burst')`, event[:])
	f.exec(t, `insert into event_references (tenant_id, reference, event_id) values ($1, 'order_1', $2)`, hook.DefaultTenant(), event[:])
	return event, hook.DeliveryID(delivery)
}

// whereabouts returns, for each table, the partition that holds its only row.
func (f *fixture) whereabouts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, base := range partitioned {
		name := ""
		err := f.db.QueryRow(t.Context(), `select tableoid::regclass::text from `+base).Scan(&name)
		if err != nil {
			require.ErrorIs(t, err, pgx.ErrNoRows)
		}
		found[base] = name
	}
	return found
}

// After days without a process, events that are published before the first maintenance go to the default
// partitions. They are moved to their day's partitions when those are created, so that a day is dropped as a whole
// and the default partitions stay small.
func TestLateRowsMoveToTheirDay(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	for days := -1; days <= 3; days++ {
		for _, base := range partitioned {
			f.exec(t, `drop table if exists `+base+"_"+partitionSuffix(t, f, days))
		}
	}
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.attempt(t, id, answered(500))
	f.exec(t, `insert into event_references (tenant_id, reference, event_id) select tenant_id, 'order_1', id from events`)
	for base, name := range f.whereabouts(t) {
		if base != "shared_workflows" {
			require.Equal(t, base+"_default", name)
		}
	}
	made, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5*len(partitioned), made)
	for base, name := range f.whereabouts(t) {
		if base != "shared_workflows" {
			require.Equal(t, base+"_"+partitionSuffix(t, f, 0), name)
		}
	}
	d := f.attempt(t, id, answered(200))
	require.Equal(t, 2, d.Attempts)
	log, err := f.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, log, 2)
}

// Rows that are so many that moving them would block publishing stay in the default partition. The other days are
// created all the same.
func TestTooManyLateRowsStay(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	for _, base := range partitioned {
		f.exec(t, `drop table `+base+"_"+partitionSuffix(t, f, 2))
		f.exec(t, `drop table `+base+"_"+partitionSuffix(t, f, 3))
	}
	f.exec(t, `insert into shared_workflows (event_id, workflow_id)
		select (left(uuid_floor(now() + interval '2 days')::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, 'burst' from generate_series(1, 50001) n`)
	made, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2*len(partitioned)-1, made)
	require.Equal(t, 50001, scalar[int](t, f, `select count(*) from shared_workflows_default`))
	f.exec(t, `delete from shared_workflows_default where uuid_send(event_id) > uuid_send(event_id) or right(event_id::text, 4) = '0001'`)
	made, err = f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, made)
	require.Zero(t, scalar[int](t, f, `select count(*) from shared_workflows_default`))
}

// An event and its rows in other tables may be in different kinds of partitions. While the delivery is
// outstanding, all of them outlive their day, and afterwards all are removed.
func TestRetentionAcrossDefaultPartitions(t *testing.T) {
	t.Parallel()
	for _, made := range [][]string{
		{},
		{"events"},
		{"deliveries"},
		{"attempts"},
		{"shared_workflows"},
		{"events", "attempts"},
		{"deliveries", "attempts"},
		{"events", "deliveries"},
		partitioned,
	} {
		t.Run("made "+strings.Join(made, " "), func(t *testing.T) {
			t.Parallel()
			if len(made) == 1 || len(made) == 2 && made[0] == "events" {
				longtest.Only(t)
			}
			f := setup(t)
			f.partition(t, -40, made...)
			event, delivery := f.eventAt(t, time.Now().AddDate(0, 0, -40))
			require.NotContains(t, f.whereabouts(t), "")
			drop := func() {
				_, err := f.DropOldPartitions(t.Context(), simulatedRetention)
				require.NoError(t, err)
			}
			drop()
			for base, name := range f.whereabouts(t) {
				require.Equal(t, base+"_default", name, "a retry is to come")
			}

			f.exec(t, `update deliveries set state = 'canceled', next_attempt_at = null`)
			f.exec(t, `insert into outbox (event_id) values ($1)`, event[:])
			drop()
			drop() // rows that are looked up through others are removed after them
			for base, name := range f.whereabouts(t) {
				require.Empty(t, name, base)
				require.False(t, scalar[bool](t, f, `select to_regclass($1) is not null`, base+"_"+partitionSuffix(t, f, -40)), "%s: the day itself", base)
			}
			_, err := f.Delivery(t.Context(), hook.DefaultTenant(), delivery)
			requireKind(t, hook.KindNotFound, err)
			require.Zero(t, scalar[int](t, f, `select count(*) from outbox`), "nothing of it waits to be started")
		})
	}
}

// S8: a key whose event is gone, because a clock was wrong, is free.
func TestIdempotencyKeyOfADroppedEvent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first, err := f.Publish(t.Context(), daily(`1`))
	require.NoError(t, err)
	_, err = f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`1`), IdempotencyKey: "kept"})
	require.NoError(t, err)
	f.exec(t, `delete from events where id = $1`, first.Event.ID[:])

	// Several publish at once, together with another key: one event is accepted, and the others are repeats of it.
	var fresh atomic.Int64
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			list := []hook.Publication{daily(`2`), daily(`2`), {TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`1`), IdempotencyKey: "kept"}}
			accepted, errs := f.PublishAll(t.Context(), list)
			for i := range list {
				if errs[i] != nil {
					return errs[i]
				}
			}
			for _, a := range accepted[:2] {
				if !a.Duplicate {
					fresh.Add(1)
				}
			}
			if !accepted[2].Duplicate {
				fresh.Add(100)
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, fresh.Load())
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from events`))
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from idempotency_keys`))
	_, err = f.Publish(t.Context(), daily(`1`))
	requireKind(t, hook.KindConflict, err)
}

// publishing publishes and records until stop is called. stop returns the time of the slowest operation.
func publishing(t *testing.T, f *fixture, w hook.Webhook) (stop func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var longest atomic.Int64
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for ctx.Err() == nil {
				begun := time.Now()
				a, err := f.Publish(t.Context(), hook.Publication{TenantID: w.TenantID, Type: "user.created", Data: eventData()})
				if err != nil {
					return err
				}
				jobs, err := f.Outstanding(t.Context(), []hook.EventID{a.Event.ID}, 0, 1)
				if err != nil {
					return err
				}
				// As the engine does, it records again while the store is unavailable.
				for again := true; again; {
					_, err := f.Record(t.Context(), []hook.Record{storagetest.RecordOf(&jobs[0], answered(500))})
					if again = hook.KindOf(err) == hook.KindUnavailable; err != nil && !again {
						return err
					}
				}
				if _, err := f.Event(t.Context(), w.TenantID, a.Event.ID); err != nil {
					return err
				}
				test, err := f.CreateTest(t.Context(), w, hook.Publication{TenantID: w.TenantID, Type: "user.created", Data: eventData()})
				if err != nil {
					return err
				}
				if err := f.DropTest(t.Context(), test); err != nil {
					return err
				}
				if _, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{}, hook.Page{Limit: 5}); err != nil {
					return err
				}
				longest.Store(max(longest.Load(), int64(time.Since(begun))))
			}
			return nil
		})
	}
	return func() time.Duration {
		cancel()
		require.NoError(t, g.Wait())
		return time.Duration(longest.Load())
	}
}

// A long query, such as a backup, prevents days from being created and dropped. Publishing must wait behind that
// for a moment at most, however many processes try. Maintenance succeeds once the query has ended.
func TestMaintenanceBehindALongQuery(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	others := []*storage.Store{open(t, f.url, encryptionKey), open(t, f.url, encryptionKey), f.Store}
	w := f.webhook(t)
	f.partition(t, -40, partitioned...)
	for _, base := range partitioned {
		f.exec(t, `drop table `+base+"_"+partitionSuffix(t, f, 3))
	}
	query, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = query.Rollback(context.WithoutCancel(t.Context())) }) // it has ended by then
	_, err = query.Exec(t.Context(), `select count(*) from attempts`)
	require.NoError(t, err)

	stop := publishing(t, f, w)
	var failed atomic.Int64
	for range 2 {
		var g errgroup.Group
		for _, s := range others {
			g.Go(func() error {
				for _, err := range []error{second(s.EnsurePartitions(t.Context())), second(s.DropOldPartitions(t.Context(), simulatedRetention))} {
					if err == nil {
						continue
					}
					if hook.KindOf(err) != hook.KindUnavailable {
						return err
					}
					failed.Add(1)
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
	}
	require.Positive(t, failed.Load())
	require.True(t, scalar[bool](t, f, `select to_regclass($1) is not null`, "events_"+partitionSuffix(t, f, -40)))
	require.Less(t, stop(), 20*time.Second, "some waits of two seconds each, not what the query takes")

	require.NoError(t, query.Rollback(t.Context()))
	made, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(partitioned), made)
	dropped, err := f.DropOldPartitions(t.Context(), simulatedRetention)
	require.NoError(t, err)
	require.Equal(t, 1, dropped)
}

func second[T any](_ T, err error) error { return err }

// While several processes create and drop days, publish, record and read, nothing fails and nothing deadlocks.
func TestMaintenanceBesidePublishing(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	others := []*storage.Store{open(t, f.url, encryptionKey), open(t, f.url, encryptionKey)}
	w := f.webhook(t)
	stop := publishing(t, f, w)
	for n := range 12 {
		f.partition(t, -40-n, partitioned...)
		far := partitionSuffix(t, f, 3)
		f.exec(t, `do $$ begin perform lock_partitioned_tables(); drop table events_`+far+`, deliveries_`+far+`, attempts_`+far+`, shared_workflows_`+far+`, event_references_`+far+`; end $$`)
		var dropped, made atomic.Int64
		var g errgroup.Group
		for _, s := range others {
			g.Go(func() error {
				m, err := upWithRetries(t.Context(), s.EnsurePartitions)
				if err != nil {
					return err
				}
				made.Add(int64(m))
				d, err := upWithRetries(t.Context(), func(ctx context.Context) (int, error) { return s.DropOldPartitions(ctx, simulatedRetention) })
				dropped.Add(int64(d))
				return err
			})
		}
		require.NoError(t, g.Wait())
		require.EqualValues(t, 1, dropped.Load())
		require.EqualValues(t, len(partitioned), made.Load())
	}
	stop()
}

// upWithRetries calls do again while it gets no lock between other statements, as on a busy machine.
func upWithRetries(ctx context.Context, do func(context.Context) (int, error)) (n int, err error) {
	for range 10 {
		if n, err = do(ctx); hook.KindOf(err) != hook.KindUnavailable {
			return n, err
		}
	}
	return n, err
}

// daily returns an event with the key that is used once a day.
func daily(data string) hook.Publication {
	return hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(data), IdempotencyKey: "daily"}
}

func idsOf[T any, ID ~[16]byte](list []T, id func(T) ID) []ID {
	var ids []ID
	for _, v := range list {
		ids = append(ids, id(v))
	}
	return ids
}

// withParameters sets the named times of the pool to more than a year.
func withParameters(t *testing.T, raw string, names ...string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	q := u.Query()
	for _, name := range names {
		q.Set(name, "10000h")
	}
	u.RawQuery = q.Encode()
	return u.String()
}
