package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// used returns what a tenant has used until now, by day.
func (f *fixture) used(t *testing.T, tenant hook.TenantID) (sum hook.Usage) {
	t.Helper()
	now := time.Now()
	list, err := f.Usage(t.Context(), hook.UsageFilter{Of: hook.OneTenant(tenant), Since: now.Add(-48 * time.Hour), Until: now.Add(48 * time.Hour), By: hook.ByDay})
	require.NoError(t, err)
	for _, u := range list {
		require.Equal(t, u.Start.Truncate(24*time.Hour), u.Start)
		require.Equal(t, tenant, u.TenantID)
		sum.Events, sum.Deliveries, sum.Bytes = sum.Events+u.Events, sum.Deliveries+u.Deliveries, sum.Bytes+u.Bytes
		sum.Attempts, sum.Successes = sum.Attempts+u.Attempts, sum.Successes+u.Successes
	}
	return sum
}

// countRows counts the same from the rows themselves.
func (f *fixture) countRows(t *testing.T, tenant hook.TenantID) (u hook.Usage) {
	t.Helper()
	err := f.db.QueryRow(t.Context(), `
		select (select count(*) from events where tenant_id = $1 and not test),
			(select coalesce(sum(octet_length(data)), 0) from events where tenant_id = $1 and not test),
			(select count(*) from deliveries where tenant_id = $1 and not test),
			(select count(*) from attempts a join deliveries d on d.id = a.delivery_id where d.tenant_id = $1 and not d.test),
			(select count(*) from attempts a join deliveries d on d.id = a.delivery_id where d.tenant_id = $1 and not d.test and a.error_class = '' and a.status_code between 200 and 299)`,
		[16]byte(tenant)).Scan(&u.Events, &u.Bytes, &u.Deliveries, &u.Attempts, &u.Successes)
	require.NoError(t, err)
	return u
}

// K10: usage counts what is stored, at once and after it was summed up, and not tests. It survives the days of its events.
func TestUsage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := hook.DefaultTenant()
	w := f.webhook(t)
	f.webhook(t)
	var first hook.EventID
	for i, data := range []string{`1`, `"two"`, `[3]`} {
		accepted, err := f.Publish(t.Context(), hook.Publication{TenantID: tenant, Type: "user.created", Data: []byte(data)})
		require.NoError(t, err)
		if i == 0 {
			first = accepted.Event.ID
		}
	}
	// A duplicate and a refused event are no events.
	for range 2 {
		_, err := f.Publish(t.Context(), hook.Publication{TenantID: tenant, Type: "user.created", Data: []byte(`4`), IdempotencyKey: "one"})
		require.NoError(t, err)
	}
	deliveries, err := f.DeliveriesOfEvent(t.Context(), first, 10)
	require.NoError(t, err)
	require.Len(t, deliveries, 2)
	record := func(d hook.Delivery, a hook.Attempt) {
		t.Helper()
		job, err := f.Job(t.Context(), d.ID)
		require.NoError(t, err)
		r := hook.Conclude(hook.Policy{Schedule: hook.DefaultSchedule()}, &job, a)
		for range 2 { // the answer to the first may be lost
			_, err = f.Record(t.Context(), []hook.Record{r})
			require.NoError(t, err)
		}
	}
	record(deliveries[0], hook.Attempt{ID: [16]byte{1}, StartedAt: time.Now(), StatusCode: 200})
	record(deliveries[1], hook.Attempt{ID: [16]byte{2}, StartedAt: time.Now(), StatusCode: 500, Class: hook.ClassStatus, Error: "HTTP 500"})
	test, err := f.CreateTest(t.Context(), w, hook.Publication{TenantID: tenant, Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	record(test, hook.Attempt{ID: [16]byte{3}, StartedAt: time.Now(), StatusCode: 200})

	want := hook.Usage{Events: 4, Deliveries: 8, Bytes: 1 + 5 + 3 + 1, Attempts: 2, Successes: 1}
	require.Equal(t, want, f.countRows(t, tenant))
	require.Equal(t, want, f.used(t, tenant))
	require.EqualValues(t, 1, func() int64 { u := f.used(t, tenant); return u.Failures() }())
	moved, err := f.FoldUsage(t.Context(), 0)
	require.NoError(t, err)
	require.Positive(t, moved)
	require.Equal(t, want, f.used(t, tenant))
	moved, err = f.FoldUsage(t.Context(), 0)
	require.NoError(t, err)
	require.Zero(t, moved)

	f.exec(t, `truncate events, deliveries, attempts`)
	require.Equal(t, want, f.used(t, tenant), "it survives retention")
	require.Zero(t, f.used(t, hook.TenantID{15: 9}))
}

// K10: nothing is counted twice or lost while usage is summed up by several processes and events are being published.
func TestUsageWhileItIsSummedUp(t *testing.T) {
	t.Parallel()
	longtest.Only(t) // TestStatsWhileTheyAreSummedUp is alike
	f := setup(t)
	f.webhook(t)
	tenant := hook.DefaultTenant()
	var publishers, folders errgroup.Group
	done := make(chan struct{})
	for range 4 {
		publishers.Go(func() error {
			for range 50 {
				if _, err := f.Publish(t.Context(), hook.Publication{TenantID: tenant, Type: "user.created", Data: []byte(`12`)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 3 {
		folders.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if _, err := f.FoldUsage(t.Context(), 0); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(t, publishers.Wait())
	close(done)
	require.NoError(t, folders.Wait())
	require.Equal(t, hook.Usage{Events: 200, Deliveries: 200, Bytes: 400}, f.used(t, tenant))
	_, err := f.FoldUsage(t.Context(), 0)
	require.NoError(t, err)
	require.Zero(t, scalar[int](t, f, `select count(*) from usage_deltas`))
	require.Equal(t, hook.Usage{Events: 200, Deliveries: 200, Bytes: 400}, f.used(t, tenant))
}

// K10: hours and days, of one tenant and of all.
func TestUsagePeriods(t *testing.T) {
	t.Parallel()
	f := setup(t)
	at := time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)
	tenant, other := hook.DefaultTenant(), hook.TenantID{15: 9}
	for i, table := range []string{"tenant_usage", "usage_deltas"} {
		for _, id := range []hook.TenantID{tenant, other} {
			f.exec(t, `insert into `+table+` (tenant_id, hour, events, deliveries, bytes, attempts, successes)
				select $1, $2::timestamptz + h * interval '1 hour', 1, 2, 3, 4, $3 from generate_series(0, 3) h`, [16]byte(id), at, i)
		}
	}
	usage := func(filter hook.UsageFilter) []hook.Usage {
		t.Helper()
		list, err := f.Usage(t.Context(), filter)
		require.NoError(t, err)
		return list
	}
	of := func(id hook.TenantID, start time.Time, n int64) hook.Usage {
		return hook.Usage{TenantID: id, Start: start, Events: 2 * n, Deliveries: 4 * n, Bytes: 6 * n, Attempts: 8 * n, Successes: n}
	}
	day := at.Truncate(24 * time.Hour)
	require.Equal(t, []hook.Usage{of(tenant, at, 1), of(tenant, at.Add(time.Hour), 1)},
		usage(hook.UsageFilter{Of: hook.OneTenant(tenant), Since: at, Until: at.Add(2 * time.Hour), By: hook.ByHour}))
	require.Equal(t, []hook.Usage{of(other, day, 2), of(tenant, day, 2), of(other, day.AddDate(0, 0, 1), 2), of(tenant, day.AddDate(0, 0, 1), 2)},
		usage(hook.UsageFilter{Of: hook.TenantFilter{All: true}, Since: day, Until: day.AddDate(0, 0, 2), By: hook.ByDay}))
	require.Empty(t, usage(hook.UsageFilter{Of: hook.OneTenant(tenant), Since: day.AddDate(0, 0, 2), Until: day.AddDate(0, 0, 3), By: hook.ByDay}))

	deleted, err := f.PurgeUsage(t.Context(), time.Since(at.Add(2*time.Hour))-time.Minute)
	require.NoError(t, err)
	require.EqualValues(t, 6, deleted, "the hours that began before")
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from tenant_usage`))
}
