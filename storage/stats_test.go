package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage/storagetest"
)

// statsOf returns the sums of the statistics by a step, and checks that those of the other steps are the same.
func (f *fixture) statsOf(t *testing.T, of hook.TenantFilter, webhook hook.WebhookID) (sum hook.Stats) {
	t.Helper()
	now := time.Now()
	for i, step := range hook.StatsSteps() {
		list, err := f.Stats(t.Context(), hook.StatsFilter{Of: of, WebhookID: webhook, From: now.Add(-48 * time.Hour), To: now.Add(48 * time.Hour), Step: step})
		require.NoError(t, err)
		var one hook.Stats
		for j := range list {
			require.Equal(t, list[j].At.Truncate(step.Length()), list[j].At)
			require.True(t, j == 0 || list[j-1].At.Before(list[j].At))
			one.Add(&list[j].Stats)
		}
		require.True(t, i == 0 || one == sum, "%s: %+v, not %+v", step, one, sum)
		sum = one
	}
	return sum
}

func (f *fixture) fold(t *testing.T) {
	t.Helper()
	_, err := f.FoldUsage(t.Context(), 0)
	require.NoError(t, err)
}

// P6: every way in which deliveries end is counted once, for the webhook, its tenant and all.
func TestStats(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, func(w *hook.Webhook) { w.MaxAttempts = 2 })
	other := f.webhook(t, events("other"))
	theirs := f.webhook(t, ofTenant(f.tenant(t, "theirs")))
	// attempt records an attempt of a duration.
	attempt := func(id hook.DeliveryID, status int, took time.Duration, manual bool) {
		t.Helper()
		job, err := f.Job(t.Context(), id)
		require.NoError(t, err)
		a := answered(status)
		a.Duration, a.Manual = took, manual
		r := storagetest.RecordOf(&job, a)
		for range 2 { // the answer to the first may be lost
			_, err = f.Record(t.Context(), []hook.Record{r})
			require.NoError(t, err)
		}
	}
	ids := f.deliverN(t, w, 3)
	attempt(ids[0], 200, 3*time.Millisecond, false)
	attempt(ids[0], 200, 3*time.Millisecond, true) // was delivered already
	attempt(ids[1], 500, 3*time.Millisecond, false)
	attempt(ids[1], 500, 40*time.Second, false) // the last one
	attempt(ids[1], 500, 3*time.Millisecond, true)
	attempt(ids[1], 200, 3*time.Millisecond, true) // failed, and delivered after all
	attempt(ids[2], 503, 3*time.Millisecond, true) // by hand, with attempts to come
	require.Zero(t, f.statsOf(t, hook.TenantFilter{All: true}, hook.WebhookID{}), "not summed up yet")
	_, err := f.FoldUsage(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Zero(t, f.statsOf(t, hook.TenantFilter{All: true}, hook.WebhookID{}), "too young")
	f.fold(t)
	want := hook.Stats{Delivered: 2, Failed: 1, Attempts: 7, FailedAttempts: 4}
	want.Latencies[hook.LatencyBucket(3*time.Millisecond)] = 6
	want.Latencies[hook.LatencyBuckets-1] = 1
	for _, of := range []hook.TenantFilter{{All: true}, hook.OneTenant(hook.DefaultTenant())} {
		require.Equal(t, want, f.statsOf(t, of, hook.WebhookID{}))
		require.Equal(t, want, f.statsOf(t, of, w.ID))
		require.Zero(t, f.statsOf(t, of, other.ID))
	}
	require.Zero(t, f.statsOf(t, hook.OneTenant(theirs.TenantID), hook.WebhookID{}))
	require.Zero(t, f.statsOf(t, hook.OneTenant(theirs.TenantID), w.ID))

	test, err := f.CreateTest(t.Context(), w, hook.Publication{TenantID: w.TenantID, Type: "user.created", Data: eventData()})
	require.NoError(t, err)
	attempt(test.ID, 200, time.Millisecond, true)
	f.fold(t)
	require.Equal(t, want, f.statsOf(t, hook.TenantFilter{All: true}, w.ID), "tests are not counted")
	u := f.used(t, w.TenantID)
	require.EqualValues(t, 7, u.Attempts, "usage counts the same")
}

// P6: deliveries that fail without an attempt are counted, too, and are no usage.
func TestStatsOfFailuresWithoutAttempts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	ids := f.deliverN(t, w, 3)
	f.setDeferred(t, w, ids[:2]...)
	ended, err := f.ExpireDeferred(t.Context(), w.ID, 0, 10)
	require.NoError(t, err)
	require.Len(t, ended.Deliveries, 2)
	ended, err = f.ExpireUnreadable(t.Context(), ids[2:], 0)
	require.NoError(t, err)
	require.Len(t, ended.Deliveries, 1)
	f.exec(t, `delete from usage_deltas where events > 0`)
	require.Zero(t, f.used(t, w.TenantID))
	list, _, err := f.UsageByTenant(t.Context(), hook.UsageFilter{Of: hook.TenantFilter{All: true}, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), By: hook.ByHour}, hook.UsageMark{}, 10)
	require.NoError(t, err)
	require.Empty(t, list)
	f.fold(t)
	require.Equal(t, hook.Stats{Failed: 3}, f.statsOf(t, hook.OneTenant(w.TenantID), w.ID))
	require.Zero(t, scalar[int](t, f, `select count(*) from tenant_usage`))
}

// P6: nothing is counted twice or lost while attempts are recorded and several processes sum up.
func TestStatsWhileTheyAreSummedUp(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	n := longtest.Size(10, 30)
	ids := f.deliverN(t, w, 4*n)
	var recording, folding errgroup.Group
	done := make(chan struct{})
	for i := range 4 {
		recording.Go(func() error {
			for _, id := range ids[n*i : n*i+n] {
				job, err := f.Job(t.Context(), id)
				if err != nil {
					return err
				}
				if _, err = f.Record(t.Context(), []hook.Record{storagetest.RecordOf(&job, answered(200))}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 3 {
		folding.Go(func() error {
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
	require.NoError(t, recording.Wait())
	close(done)
	require.NoError(t, folding.Wait())
	f.fold(t)
	got := f.statsOf(t, hook.OneTenant(w.TenantID), w.ID)
	require.EqualValues(t, 4*n, got.Delivered)
	require.EqualValues(t, 4*n, got.Attempts)
	require.Equal(t, got, f.statsOf(t, hook.TenantFilter{All: true}, hook.WebhookID{}))
}

// P6: rows of a process of the version before count usage alone.
func TestStatsLeaveOutRowsOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(t, `insert into usage_deltas (tenant_id, hour, attempts, successes, at, tx) values ($1, date_trunc('hour', now()), 3, 2, null, null)`,
		[16]byte(hook.DefaultTenant()))
	f.fold(t)
	require.EqualValues(t, 3, func() int64 { return f.used(t, hook.DefaultTenant()).Attempts }())
	require.Zero(t, f.statsOf(t, hook.TenantFilter{All: true}, hook.WebhookID{}))
}

// P6: the worst webhooks come first, those of one tenant or of all.
func TestStatsByWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	theirs := f.tenant(t, "theirs")
	hooks := []hook.Webhook{f.webhook(t), f.webhook(t), f.webhook(t), f.webhook(t), f.webhook(t, ofTenant(theirs))}
	at := time.Now().UTC().Truncate(time.Hour)
	for i, n := range [][4]int{{1, 1, 5, 2}, {9, 0, 9, 0}, {0, 0, 9, 3}, {}, {0, 7, 7, 7}} {
		if n == ([4]int{}) {
			continue
		}
		for _, step := range hook.StatsSteps() {
			f.exec(t, `insert into stats select $1, $2, $3, $4::timestamptz, $5, $6, $7, $8, $7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0`,
				[16]byte(hooks[i].TenantID), [16]byte(hooks[i].ID), string(step), at.Truncate(step.Length()), n[0], n[1], n[2], n[3])
		}
	}
	filter := hook.StatsFilter{From: at.Add(-time.Hour), To: at.Add(time.Hour), Step: hook.StepHour}
	found := func(of hook.TenantFilter, limit int) (ids []hook.WebhookID) {
		filter.Of = of
		list, err := f.StatsByWebhook(t.Context(), filter, limit)
		require.NoError(t, err)
		for i := range list {
			ids = append(ids, list[i].WebhookID)
			require.Equal(t, list[i].Attempts, list[i].Latencies[0])
		}
		return ids
	}
	require.Equal(t, []hook.WebhookID{hooks[0].ID, hooks[2].ID, hooks[1].ID}, found(hook.OneTenant(hook.DefaultTenant()), 10))
	require.Equal(t, []hook.WebhookID{hooks[0].ID, hooks[2].ID}, found(hook.OneTenant(hook.DefaultTenant()), 2))
	require.Equal(t, []hook.WebhookID{hooks[4].ID}, found(hook.OneTenant(theirs), 10))
	require.Equal(t, []hook.WebhookID{hooks[4].ID, hooks[0].ID, hooks[2].ID, hooks[1].ID}, found(hook.TenantFilter{All: true}, 10))
	filter.WebhookID = hooks[1].ID
	require.Equal(t, []hook.WebhookID{hooks[1].ID}, found(hook.TenantFilter{All: true}, 10))
	require.Empty(t, found(hook.OneTenant(theirs), 10), "another's webhook")
	filter.WebhookID = hook.WebhookID{}
	filter.From, filter.To = at.Add(-3*time.Hour), at
	require.Empty(t, found(hook.OneTenant(hook.DefaultTenant()), 10))
}

// P6: each step is kept for a time of its own.
func TestPurgeStats(t *testing.T) {
	t.Parallel()
	f := setup(t)
	add := func(step hook.StatsStep, age time.Duration) {
		f.exec(t, `insert into stats select $1, $1, $2, now() - $3::interval, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0`,
			[16]byte{1}, string(step), age)
	}
	for _, step := range hook.StatsSteps() {
		for _, age := range []time.Duration{hook.StatsMinutesKept, hook.StatsHoursKept, 100 * 24 * time.Hour} {
			add(step, age-time.Minute)
			add(step, age+time.Minute)
		}
	}
	left := func(days time.Duration) (n [3]int) {
		_, err := f.PurgeStats(t.Context(), days)
		require.NoError(t, err)
		for i, step := range hook.StatsSteps() {
			n[i] = scalar[int](t, f, `select count(*) from stats where step = $1`, string(step))
		}
		return n
	}
	require.Equal(t, [3]int{1, 3, 6}, left(0))
	require.Equal(t, [3]int{1, 3, 5}, left(100*24*time.Hour))
}
