package storage_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// partitioned are the names of the tables with a partition for each day.
var partitioned = []string{"events", "deliveries", "attempts", "shared_workflows", "event_references"}

// partitionSuffix returns the name suffix of the partitions so many days from now.
func partitionSuffix(t *testing.T, f *fixture, days int) string {
	t.Helper()
	return scalar[string](t, f, `select to_char((now() at time zone 'utc')::date + $1::int, 'YYYYMMDD')`, days)
}

// Spec 11: partitions are created in advance, once, however many processes do it.
func TestEnsurePartitions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	made, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Zero(t, made, "a second time there is nothing to make")
	for days := -1; days <= 3; days++ {
		for _, base := range partitioned {
			require.True(t, scalar[bool](t, f, `select to_regclass($1) is not null`, base+"_"+partitionSuffix(t, f, days)), "%s %+d", base, days)
		}
	}

	for _, days := range []int{2, 3} {
		for _, base := range partitioned {
			f.exec(t, `drop table `+base+"_"+partitionSuffix(t, f, days))
		}
	}
	var total atomic.Int64
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			made, err := f.EnsurePartitions(t.Context())
			total.Add(int64(made))
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 2*len(partitioned), total.Load())
}

// With a wrong clock, no event is lost: rows outside of the created days go to the default partition, and other
// days' partitions can still be created.
func TestRowsOfFarDaysGoToTheDefaultPartition(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	_, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	insert := func(at time.Time) hook.EventID {
		id := hook.EventID(hook.IDTime(at))
		f.exec(t, `insert into events (id, tenant_id, type, data, deliveries, created_at) values ($1, $2, 'user.created', '{}', 1, $3)`,
			id[:], w.TenantID[:], at)
		f.exec(t, `insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at)
			values ($1, $1, $2, $3, 'user.created', 'pending', now(), $4, $4)`, id[:], w.ID[:], w.TenantID[:], at)
		return id
	}
	far := insert(time.Now().AddDate(1, 0, 0))
	require.Equal(t, "events_default", scalar[string](t, f, `select tableoid::regclass::text from events where id = $1`, far[:]))
	_, err = f.Event(t.Context(), w.TenantID, far)
	require.NoError(t, err)
	d := f.attempt(t, hook.DeliveryID(far), answered(200))
	require.Equal(t, hook.StateSuccess, d.State)
	require.Equal(t, "attempts_default", scalar[string](t, f, `select tableoid::regclass::text from attempts`))

	day := time.Now().UTC().AddDate(0, 0, 2)
	for _, base := range partitioned {
		f.exec(t, `drop table `+base+"_"+partitionSuffix(t, f, 2))
		f.exec(t, `drop table `+base+"_"+partitionSuffix(t, f, 3))
	}
	insert(day)
	made, err := f.EnsurePartitions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2*len(partitioned), made, "what lay in the default partition is in its day's now")
	_, err = f.Event(t.Context(), w.TenantID, hook.EventID(hook.IDTime(day)))
	require.NoError(t, err)
}

// Spec 11: a day is dropped as a whole after the retention. A delivery that is still outstanding stays, and is
// removed once it has ended.
func TestDropOldPartitions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for days, state := range map[int]string{-40: "success", -35: "pending", -20: "success"} {
		suffix := partitionSuffix(t, f, days)
		for _, base := range partitioned {
			f.exec(t, `do $$ begin execute format('create table `+base+`_`+suffix+` partition of `+base+` for values from (%L) to (%L)',
				uuid_floor(to_date('`+suffix+`', 'YYYYMMDD')::timestamp at time zone 'utc'),
				uuid_floor((to_date('`+suffix+`', 'YYYYMMDD') + 1)::timestamp at time zone 'utc')); end $$`)
		}
		f.exec(t, `insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, delivered_at, created_at, updated_at)
			select uuid_floor(at), uuid_floor(at), gen_random_uuid(), gen_random_uuid(), 'user.created', $2,
				case when $2 = 'pending' then at end, case when $2 = 'success' then at end, at, at
			from (select to_date($1, 'YYYYMMDD')::timestamp at time zone 'utc' + interval '3 hours' as at) x`, suffix, state)
	}
	exists := func(days int) bool {
		found := 0
		for _, base := range partitioned {
			if scalar[bool](t, f, `select to_regclass($1) is not null`, base+"_"+partitionSuffix(t, f, days)) {
				found++
			}
		}
		require.Contains(t, []int{0, len(partitioned)}, found, "all of a day or nothing")
		return found > 0
	}
	dropped, err := f.DropOldPartitions(t.Context(), 30*24*time.Hour)
	require.NoError(t, err)
	require.Equal(t, 2, dropped)
	require.False(t, exists(-40), "older than the retention")
	require.False(t, exists(-35), "older, too")
	require.True(t, exists(-20), "within the retention")
	require.Equal(t, "deliveries_default", scalar[string](t, f, `select tableoid::regclass::text from deliveries where state = 'pending'`))

	f.exec(t, `update deliveries set state = 'canceled', next_attempt_at = null where state = 'pending'`)
	dropped, err = f.DropOldPartitions(t.Context(), 30*24*time.Hour)
	require.NoError(t, err)
	require.Zero(t, dropped)
	require.Zero(t, scalar[int](t, f, `select count(*) from deliveries_default`))
}
