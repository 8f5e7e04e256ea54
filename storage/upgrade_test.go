package storage_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/syncbuf"
	"grapnel/storage"
)

// lastRelease is the last release's schema version.
const lastRelease = 15

// released is a database as the last release left it. Its methods do what the last release's binaries do.
type released struct {
	url     string
	db      *pgxpool.Pool
	webhook hook.WebhookID
	// stored counts the published events.
	stored atomic.Int64
}

func atLastRelease(t *testing.T) *released {
	t.Helper()
	r := &released{url: blank(t), webhook: hook.WebhookID{1}}
	migrateTo(t, r.url, lastRelease)
	var err error
	r.db, err = pgxpool.New(t.Context(), r.url)
	require.NoError(t, err)
	t.Cleanup(r.db.Close)
	_, err = r.db.Exec(t.Context(), `
		insert into webhooks (id, tenant_id, profile, url, events, secret, active, timeout_ms, max_attempts, created_at, updated_at)
		values ($1, $2, 'standard', 'https://example.com', '{user.created}', '', true, 15000, 5, now(), now())`, [16]byte(r.webhook), hook.DefaultTenant())
	require.NoError(t, err)
	return r
}

// migrateTo migrates a database to a version.
func migrateTo(t *testing.T, url string, version int64) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"), goose.WithGoMigrations(storage.GoMigrations()...))
	require.NoError(t, err)
	_, err = provider.UpTo(t.Context(), version)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// publish accepts an event and records an attempt, with the last release's statements.
func (r *released) publish(ctx context.Context) error {
	event := hook.EventID(hook.IDTime(time.Now()))
	n := r.stored.Add(1)
	event[8], event[9], event[13], event[14], event[15] = 0x80, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	_, err := r.db.Exec(ctx, `
		with delivery as (
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked)
			select $1, $1, w.id, w.tenant_id, 'user.created', 'pending', now(), now(), now(), w.paused_at is not null from webhooks w where w.id = $2
		), event as (
			insert into events (id, tenant_id, type, data, organization_id, deliveries, created_at, cache, topic_id, sequence, token_id, drained_by, trace)
			values ($1, $3, 'user.created', '{}', '', 1, now(), '', null, null, '', null, null)
		)
		insert into outbox (event_id) values ($1)`, event[:], [16]byte(r.webhook), hook.DefaultTenant())
	if err != nil {
		return err
	}
	_, err = r.db.Exec(ctx, `
		with changed as (
			update deliveries set state = $2, attempts = attempts + 1, scheduled = scheduled + 1, updated_at = now(),
				next_attempt_at = case when $2 = 'failed' then now() end, delivered_at = case when $2 = 'success' then now() end
			where id = $1 returning id, attempts)
		insert into attempts (id, delivery_id, number, manual, url, started_at, duration_us, dns_us, connect_us, tls_us, first_byte_us,
			remote_addr, request_headers, error_class, error)
		select gen_random_uuid(), id, attempts, false, '', now(), 0, 0, 0, 0, 0, '', '{}', '', '' from changed`,
		event[:], []string{"success", "failed", "canceled"}[n%3])
	return err
}

// keepPublishing publishes until stop is called. stop fails the test if a publish was refused.
func (r *released) keepPublishing(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	for range 3 {
		g.Go(func() error {
			for ctx.Err() == nil {
				if err := r.publish(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return func() {
		t.Helper()
		cancel()
		require.NoError(t, g.Wait())
	}
}

// published waits until that many more events were published.
func (r *released) published(t *testing.T, more int64) {
	t.Helper()
	from := r.stored.Load()
	require.Eventually(t, func() bool { return r.stored.Load() >= from+more }, 20*time.Second, 5*time.Millisecond)
}

// requireIndexes checks that every partition has a valid index for each index of its parent.
func (r *released) requireIndexes(t *testing.T) {
	t.Helper()
	var missing []string
	rows, _ := r.db.Query(t.Context(), `select indexrelid::regclass::text from pg_index where not indisvalid`)
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, missing, "indexes that are not valid")
	for _, index := range []string{"deliveries_by_state", "deliveries_waiting", "deliveries_unsuccessful"} {
		rows, _ := r.db.Query(t.Context(), `
			select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
			where i.inhparent = 'deliveries'::regclass and not exists (
				select from pg_inherits a join pg_index p on p.indexrelid = a.inhrelid where a.inhparent = $1::regclass and p.indrelid = c.oid)`, index)
		missing, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Empty(t, missing, index)
	}
}

// The last release's processes run during an upgrade: they publish, record and run maintenance before, during and
// after it, and no data is lost.
func TestUpgradeFromTheLastRelease(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	r := atLastRelease(t)
	for range 30 {
		require.NoError(t, r.publish(t.Context()))
	}
	stop := r.keepPublishing(t)
	r.published(t, 10)
	ran, err := storage.Migrate(t.Context(), r.url)
	require.NoError(t, err)
	require.Positive(t, ran)
	r.published(t, 10)
	var made, dropped int
	require.NoError(t, r.db.QueryRow(t.Context(), `select ensure_partitions(4), drop_partitions(now() - interval '30 days')`).Scan(&made, &dropped))
	require.Equal(t, len(partitioned), made)
	require.Zero(t, dropped)
	stop()
	r.requireIndexes(t)

	s := open(t, r.url, encryptionKey)
	require.NoError(t, s.Ready(t.Context()))
	total := int(r.stored.Load())
	list := func(f hook.DeliveryFilter) int {
		return len(every(t, 100, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
			return s.Deliveries(t.Context(), r.webhook, f, p)
		}))
	}
	require.Equal(t, total, list(hook.DeliveryFilter{}))
	require.Equal(t, total, list(hook.DeliveryFilter{State: hook.StateSuccess})+list(hook.DeliveryFilter{State: hook.StateFailed})+list(hook.DeliveryFilter{State: hook.StateCanceled}))
	require.Len(t, every(t, 100, func(p hook.Page) ([]hook.Event, *[16]byte, error) {
		return s.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), hook.EventFilter{}, p)
	}), total)
}

// A long transaction, such as a backup or a report, delays a migration. Publishing goes on meanwhile, and the
// migration ends after the transaction.
func TestMigratingBehindALongTransaction(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	for name, test := range map[string]struct {
		options pgx.TxOptions
		// held reports whether the migration is delayed.
		held func(*testing.T, *released, *syncbuf.Buffer) bool
	}{
		"that holds a lock": {pgx.TxOptions{}, func(_ *testing.T, _ *released, h *syncbuf.Buffer) bool {
			return strings.Count(h.String(), "tried again") >= 2
		}},
		"that has a snapshot, as pg_dump": {pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(t *testing.T, r *released, _ *syncbuf.Buffer) bool {
			t.Helper()
			var waits bool
			require.NoError(t, r.db.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and wait_event = 'virtualxid')`).Scan(&waits))
			return waits
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := atLastRelease(t)
			require.NoError(t, r.publish(t.Context()))
			migrateTo(t, r.url, 21) // earlier migrations are not tested here
			tx, err := r.db.BeginTx(t.Context(), test.options)
			require.NoError(t, err)
			t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // it has ended by then
			_, err = tx.Exec(t.Context(), `select count(*) from deliveries`)
			require.NoError(t, err)

			stop := r.keepPublishing(t)
			log := &syncbuf.Buffer{}
			m := storage.Migrator{URL: r.url, Logger: slog.New(slog.NewTextHandler(log, nil))}
			done := make(chan error, 1)
			go func() { done <- second(m.Up(t.Context())) }()
			require.Eventually(t, func() bool { return test.held(t, r, log) }, 60*time.Second, 20*time.Millisecond)
			r.published(t, 50)
			select {
			case err := <-done:
				require.Fail(t, "the migration has ended", "%v", err)
			default:
			}
			require.NoError(t, tx.Rollback(t.Context()))
			require.NoError(t, <-done)
			stop()
			r.requireIndexes(t)
			require.NoError(t, open(t, r.url, encryptionKey).Ready(t.Context()))
		})
	}
}

// A migration gives up after a while, and its error says what blocked it. The next run continues.
func TestMigratingEndsWithoutALock(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	r := atLastRelease(t)
	migrateTo(t, r.url, 23)
	tx, err := r.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // it has ended by then
	_, err = tx.Exec(t.Context(), `lock table deliveries in access share mode`)
	require.NoError(t, err)
	m := storage.Migrator{URL: r.url, Patience: time.Millisecond}
	_, err = m.Up(t.Context())
	requireKind(t, hook.KindUnavailable, err)
	require.ErrorContains(t, err, "version:24")
	require.NoError(t, tx.Rollback(t.Context()))
	ran, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Positive(t, ran)
}

// A migration continues an index that a killed process has left: valid on one partition, invalid on another, not
// attached, or not begun.
func TestAnIndexIsTakenUp(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	r := atLastRelease(t)
	migrateTo(t, r.url, 21)
	rows, _ := r.db.Query(t.Context(), `select relname from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = 'deliveries'::regclass order by 1`)
	partitions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(partitions), 4)
	const on = ` (webhook_id, state, id desc) where state in ('failed', 'timed_out', 'dropped', 'canceled')`
	for _, statement := range []string{
		`create index deliveries_by_state on only deliveries` + on,
		`create index ` + partitions[0] + `_deliveries_by_state on ` + partitions[0] + on,
		`alter index deliveries_by_state attach partition ` + partitions[0] + `_deliveries_by_state`,
		`create index ` + partitions[1] + `_deliveries_by_state on ` + partitions[1] + on,
		`create index ` + partitions[2] + `_deliveries_by_state on ` + partitions[2] + on,
		`update pg_index set indisvalid = false where indexrelid = '` + partitions[2] + `_deliveries_by_state'::regclass`,
	} {
		_, err := r.db.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	_, err = storage.Migrate(t.Context(), r.url)
	require.NoError(t, err)
	r.requireIndexes(t)
	s := open(t, r.url, encryptionKey)
	_, err = r.db.Exec(t.Context(), `drop table `+partitions[len(partitions)-2])
	require.NoError(t, err)
	made, err := s.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, made)
	r.requireIndexes(t)
}

// Every migration has a lock timeout, so that publishing waits only a short time behind it.
func TestEveryMigrationHasALockTimeout(t *testing.T) {
	t.Parallel()
	for pattern, begin := range map[string]string{
		"migrations/*.sql": "-- +goose Up\n", "migrations/before/*.sql": "", // run by indexes.go
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(text), begin+"set local lock_timeout = '2s';\n"), "%s begins with set local lock_timeout", file)
		}
	}
}
