package storage_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// past returns a moment of the day so many days ago.
func past(days int) time.Time {
	return time.Now().UTC().Truncate(day).AddDate(0, 0, -days).Add(time.Hour)
}

// deferredAt stores an event of the given time with an attempt and a deferred delivery.
func (f *fixture) deferredAt(t *testing.T, w hook.Webhook, at time.Time) (hook.EventID, hook.DeliveryID) {
	t.Helper()
	event, delivery := f.eventAt(t, at)
	f.exec(t, `update deliveries set webhook_id = $2, parked = true, scheduled = 1 where id = $1`, delivery[:], [16]byte(w.ID))
	return event, delivery
}

// waitsForLock waits until a statement waits for a lock.
func (f *fixture) waitsForLock(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return scalar[bool](t, f, `select exists (select from pg_locks where not granted and database = (select oid from pg_database where datname = current_database()))`)
	}, 20*time.Second, 2*time.Millisecond)
}

// begin starts a transaction that ends with the test at the latest.
func (f *fixture) begin(t *testing.T) pgx.Tx {
	t.Helper()
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // if it has not ended
	return tx
}

// Spec 11: a client may pause a webhook for as long as it likes. Its deferred deliveries keep no day's partitions,
// which all tenants share: they outlive their day, are delivered after the pause, and are removed when they have
// ended.
func TestWhatIsPausedOutlivesItsDay(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	f.pause(t, w, true)
	var events []hook.EventID
	var deliveries []hook.DeliveryID
	const first, last = 31, 60
	for n := first; n <= last; n++ {
		f.partition(t, -n, partitioned...)
		event, delivery := f.deferredAt(t, w, past(n))
		events, deliveries = append(events, event), append(deliveries, delivery)
		_, over := f.eventAt(t, past(n).Add(time.Hour))
		f.exec(t, `update deliveries set next_attempt_at = null where id = $1`, over[:])
	}
	dropped, err := f.DropOldPartitions(t.Context(), simulatedRetention)
	require.NoError(t, err)
	require.Equal(t, last-first+1, dropped)
	for _, base := range partitioned {
		require.False(t, scalar[bool](t, f, `select to_regclass($1) is not null`, base+"_"+partitionSuffix(t, f, -first)))
		require.Equal(t, len(deliveries), scalar[int](t, f, `select count(*) from `+base+`_default`), base)
	}

	f.pause(t, w, false)
	deferred, err := f.Deferred(t.Context(), w.ID, 100)
	require.NoError(t, err)
	require.Len(t, deferred.Jobs, len(deliveries))
	listed, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{State: hook.StateFailed}, hook.Page{Limit: 100})
	require.NoError(t, err)
	require.Equal(t, deliveries, idsOf(listed, func(d hook.Delivery) hook.DeliveryID { return d.ID }), "the newest first")
	f.exec(t, `update deliveries set parked = false where id = $1`, deliveries[3][:])
	jobs, err := f.Outstanding(t.Context(), events, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 1, "its workflow finds it, too")
	for i, id := range deliveries {
		e, err := f.Event(t.Context(), w.TenantID, events[i])
		require.NoError(t, err)
		require.Equal(t, "burst", e.WorkflowID)
		job, err := f.Job(t.Context(), id)
		require.NoError(t, err)
		require.JSONEq(t, `{}`, string(job.Event.Data))
		if i > 0 {
			require.Equal(t, hook.StateSuccess, f.attempt(t, id, answered(200)).State)
		}
		log, err := f.Attempts(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, log, min(i, 1)+1)
	}

	_, err = f.DropOldPartitions(t.Context(), simulatedRetention)
	require.NoError(t, err)
	for _, base := range partitioned {
		require.Equal(t, 1, scalar[int](t, f, `select count(*) from `+base+`_default`), "%s: what has not been sent", base)
	}
	f.attempt(t, deliveries[0], answered(200))
	_, err = f.DropOldPartitions(t.Context(), simulatedRetention)
	require.NoError(t, err)
	for _, base := range partitioned {
		require.Zero(t, scalar[int](t, f, `select count(*) from `+base), base)
	}
}

// A delivery that is committed just before its day is dropped, such as a replay's, stays.
func TestADayIsLookedAtUnderTheLock(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	f.partition(t, -31, partitioned...)
	event, over := f.eventAt(t, past(31))
	f.exec(t, `update deliveries set next_attempt_at = null where id = $1`, over[:])
	tx := f.begin(t)
	id := f.sentAgain(t, tx, w, event)
	done := make(chan error, 1)
	go func() {
		dropped, err := f.DropOldPartitions(t.Context(), simulatedRetention)
		if err == nil && dropped != 1 {
			t.Errorf("dropped %d days", dropped)
		}
		done <- err
	}()
	f.waitsForLock(t)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	require.NotEmpty(t, job.Event.Data)
	_, err = f.Delivery(t.Context(), hook.DefaultTenant(), over)
	requireKind(t, hook.KindNotFound, err)
}

// The same holds if the event is in the default partition.
func TestADefaultPartitionIsLookedAtUnderTheLock(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	event, over := f.eventAt(t, past(31))
	f.exec(t, `update deliveries set next_attempt_at = null where id = $1`, over[:])
	f.exec(t, `insert into replays (id, tenant_id, webhook_id, status, event_types, since, until, rate, state, cursor, created_at, updated_at)
		values (gen_random_uuid(), $1, $2, 'all', '{}', now(), now(), 1, 'running', gen_random_uuid(), now(), now())`, [16]byte(w.TenantID), [16]byte(w.ID))
	tx := f.begin(t)
	_, err := tx.Exec(t.Context(), `select from replays for update`) // as each step of the replay does
	require.NoError(t, err)
	id := f.sentAgain(t, tx, w, event)
	done := make(chan error, 1)
	go func() { done <- second(f.DropOldPartitions(t.Context(), simulatedRetention)) }()
	f.waitsForLock(t)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	require.NotEmpty(t, job.Event.Data)
}

// sentAgain inserts another delivery of an event, as a replay does.
func (f *fixture) sentAgain(t *testing.T, tx pgx.Tx, w hook.Webhook, event hook.EventID) hook.DeliveryID {
	t.Helper()
	id := event
	id[15] = 9
	_, err := tx.Exec(t.Context(), `insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked)
		values ($1, $2, $3, $4, 'user.created', 'pending', now(), now(), now(), true)`, id[:], event[:], [16]byte(w.ID), [16]byte(w.TenantID))
	require.NoError(t, err)
	return hook.DeliveryID(id)
}

// If moving a day's outstanding rows would block publishing, the day stays whole until fewer are outstanding, and
// is counted as kept. It keeps no other day.
func TestADayWithTooMuchOutstandingStays(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	const most = 50_000
	f.partition(t, -41, partitioned...)
	f.partition(t, -40, partitioned...)
	f.eventAt(t, past(40))
	f.exec(t, `insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked)
		select (left(day_floor((now() at time zone 'utc')::date - 41)::text, 19) || '8000-' || lpad(to_hex(n), 12, '0'))::uuid, gen_random_uuid(), $1, $2, 'user.created',
			'pending', now(), now(), now(), true from generate_series(1, $3::int) n`, [16]byte(w.ID), [16]byte(w.TenantID), most+1)
	requireKept := func(days, dropped int) {
		t.Helper()
		n, err := f.DropOldPartitions(t.Context(), simulatedRetention)
		require.NoError(t, err)
		require.Equal(t, dropped, n)
		waiting, err := f.Backlog(t.Context())
		require.NoError(t, err)
		require.Equal(t, days, waiting.KeptDays)
	}
	bytes := func(n int) {
		f.exec(t, fmt.Sprintf(`create or replace function most_bytes_moved() returns bigint language sql immutable as $$ select %d::bigint $$`, n))
	}
	bytes(1)
	requireKept(2, 0)
	bytes(2) // as large as the other day's event
	requireKept(1, 1)
	requireKept(1, 0)
	require.Equal(t, most+1, scalar[int](t, f, `select count(*) from deliveries_`+partitionSuffix(t, f, -41)))
	require.False(t, scalar[bool](t, f, `select to_regclass($1) is not null`, "deliveries_"+partitionSuffix(t, f, -40)))

	f.exec(t, `update deliveries set state = 'canceled', next_attempt_at = null where id = (select min(id::text)::uuid from deliveries)`)
	requireKept(0, 1)
	require.Equal(t, most+1, scalar[int](t, f, `select count(*) from deliveries_default`), "the other day's is there, too")
}

// A day with too many rows in a default partition is not created, and that is found out without a lock.
func TestNothingIsLockedForADayThatCantBeMade(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.exec(t, `drop table shared_workflows_`+partitionSuffix(t, f, 3))
	f.exec(t, `insert into shared_workflows (event_id, workflow_id)
		select (left(day_floor((now() at time zone 'utc')::date + 3)::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, 'burst' from generate_series(1, 50001) n`)
	query := f.begin(t)
	_, err := query.Exec(t.Context(), `lock table attempts, deliveries, events, shared_workflows in access share mode`)
	require.NoError(t, err)
	made, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Zero(t, made)
}

// A process that finds another at one table cleans the others.
func TestTablesAreCleanedBesideEachOther(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, over := f.eventAt(t, past(31))
	f.exec(t, `update deliveries set next_attempt_at = null where id = $1`, over[:])
	tx := f.begin(t)
	_, err := tx.Exec(t.Context(), `select clean_page('attempts', '00000000-0000-0000-0000-000000000000', now() - interval '1000 days', 1)`)
	require.NoError(t, err)
	_, err = f.DropOldPartitions(t.Context(), simulatedRetention)
	require.NoError(t, err)
	require.Zero(t, scalar[int](t, f, `select count(*) from events`))
	require.Zero(t, scalar[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from attempts`), "the other process's table")
	require.NoError(t, tx.Commit(t.Context()))
	_, err = f.DropOldPartitions(t.Context(), simulatedRetention)
	require.NoError(t, err)
	require.Zero(t, scalar[int](t, f, `select count(*) from attempts`))
}

// The default partitions are cleaned page by page, past rows that stay in them.
func TestDefaultPartitionsAreCleanedInPages(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	const rows = 12_000 // more than two pages
	f.exec(t, `with k as (select (left(day_floor((now() at time zone 'utc')::date - 40)::text, 13) || '-7' || lpad(to_hex(n / 16), 3, '0') || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id, n from generate_series(1, $1::int) n),
		e as (insert into events (id, tenant_id, type, data, deliveries, created_at) select id, gen_random_uuid(), 'user.created', '{}', 1, now() from k),
		s as (insert into shared_workflows (event_id, workflow_id) select id, 'burst' from k),
		r as (insert into event_references (tenant_id, reference, event_id) select gen_random_uuid(), 'order_1', id from k),
		o as (insert into outbox (event_id) select id from k)
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at)
		select id, id, gen_random_uuid(), gen_random_uuid(), 'user.created', case when n % 3 = 0 then 'pending' else 'canceled' end, case when n % 3 = 0 then now() end, now(), now() from k`, rows)
	f.exec(t, `insert into attempts (id, delivery_id, number, manual, url, started_at, duration_us, dns_us, connect_us, tls_us, first_byte_us, remote_addr, request_headers, error_class, error)
		select gen_random_uuid(), id, 1, false, '', now(), 0, 0, 0, 0, 0, '', '{}', 'timeout', '' from deliveries`)
	for range 2 { // the second pass has nothing left to do
		dropped, err := f.DropOldPartitions(t.Context(), simulatedRetention)
		require.NoError(t, err)
		require.Zero(t, dropped)
		for _, table := range append([]string{"outbox"}, partitioned...) {
			require.Equal(t, rows/3, scalar[int](t, f, `select count(*) from `+table), table)
		}
	}
}
