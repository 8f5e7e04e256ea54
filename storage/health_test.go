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

// S14: a failed attempt makes a webhook failing, a delivery's fifth failure makes it failed, a success makes it
// healthy. It stays active, and new events are still sent.
func TestHealthFollowsTheAttempts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	require.Equal(t, "healthy", w.Status())

	id := f.delivery(t, w)
	for n := 1; n < hook.MaxAttempts; n++ {
		require.True(t, outstanding(f.attempt(t, id, answered(500))), "attempt %d", n)
		require.Equal(t, "failing", f.status(t, w), "attempt %d", n)
		require.Empty(t, f.reason(t, w))
	}
	last := f.attempt(t, id, timedOut())
	require.False(t, last.Outstanding())
	require.Equal(t, hook.StateFailed, last.State)
	require.Equal(t, 5, last.Attempts)
	failed := f.health(t, w)
	require.Equal(t, "failed", failed.Status())
	require.Equal(t, "a delivery failed for good", failed.StatusReason())
	require.True(t, failed.Active)

	next := f.delivery(t, w)
	f.attempt(t, next, answered(500))
	require.Equal(t, "failed", f.status(t, w), "only a success mends it")
	f.attempt(t, next, answered(200))
	require.Equal(t, "healthy", f.status(t, w))
	require.True(t, scalar[bool](t, f, `select failing_since is null from webhooks`))
	require.Equal(t, w, f.health(t, w), "updated_at is the client's")
}

// S14: an attempt changes the health of its own webhook only, and a failure by hand that of none.
func TestHealthIsTheWebhooksOwn(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a, b, c := f.webhook(t), f.webhook(t), f.webhook(t)
	event := f.publish(t, "user.created").Event
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{event.ID}, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 3)
	outcomes := map[hook.WebhookID]hook.Attempt{a.ID: answered(500), b.ID: answered(200), c.ID: answered(410)}
	var records []hook.Record
	for i := range jobs {
		records = append(records, storagetest.RecordOf(&jobs[i], outcomes[jobs[i].Webhook.ID]))
	}
	_, err = f.Record(t.Context(), records)
	require.NoError(t, err)
	require.Equal(t, "failing", f.status(t, a))
	require.Equal(t, "healthy", f.status(t, b))
	require.Equal(t, "disabled", f.status(t, c))
}

// S14: no attempt follows a failed attempt by hand, and it does not change the health. A successful one makes the
// webhook healthy.
func TestHealthAfterAnAttemptByHand(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.attempt(t, id, byHand(answered(500)))
	require.Equal(t, "healthy", f.status(t, w))
	f.attempt(t, id, answered(500))
	require.Equal(t, "failing", f.status(t, w))
	f.attempt(t, id, byHand(answered(200)))
	require.Equal(t, "healthy", f.status(t, w))
}

// S11: tests don't change the health, not even with a 410.
func TestHealthIgnoresTests(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	for _, a := range []hook.Attempt{answered(500), answered(410), timedOut()} {
		d, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
		require.NoError(t, err)
		require.False(t, outstanding(f.attempt(t, d.ID, a)), "one attempt, no retry")
		require.Equal(t, w, f.health(t, w))
	}
	f.attempt(t, f.delivery(t, w), answered(500))
	d, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	f.attempt(t, d.ID, answered(200))
	require.Equal(t, "failing", f.status(t, w), "nor does a test that succeeds")
}

// Spec 9: 410 Gone disables the webhook (status reason gone) and ends its deliveries.
func TestGoneDisablesTheWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, other := f.webhook(t), f.webhook(t)
	gone, pending, others := f.delivery(t, w), f.delivery(t, w), f.delivery(t, other)
	d := f.attempt(t, gone, answered(410))
	require.Equal(t, hook.StateFailed, d.State)
	require.Equal(t, 410, d.StatusCode)
	require.Equal(t, "HTTP 410 Gone", d.Error)
	require.False(t, d.Outstanding())
	require.Equal(t, d, f.read(t, gone), "its own delivery is failed, not canceled")

	after := f.health(t, w)
	require.Equal(t, "disabled", after.Status())
	require.Equal(t, "gone", after.StatusReason())
	require.True(t, after.UpdatedAt.After(w.UpdatedAt))
	require.Equal(t, hook.StateCanceled, f.read(t, pending).State)
	require.Equal(t, "Webhook disabled", f.read(t, pending).Error)
	require.Equal(t, hook.StatePending, f.read(t, others).State)
	require.Equal(t, 1, f.publish(t, "user.created").Event.Deliveries, "the other one's")
}

// failingFor makes the webhook one that has failed every day for the age.
func (f *fixture) failingFor(t *testing.T, w hook.Webhook, age string) {
	t.Helper()
	f.exec(t, `update webhooks set failing_since = now() - $2::text::interval, health = 'failing', failures = 5, failed_days = 5,
		failed_on = (now() at time zone 'utc')::date - 1 where id = $1`, [16]byte(w.ID), age)
}

// S14: a webhook that has only failed for 5 days is disabled, with the reason.
func TestFailingForFiveDaysDisables(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id, pending := f.delivery(t, w), f.delivery(t, w)
	f.attempt(t, id, answered(500))
	f.failingFor(t, w, "4 days 23 hours")
	f.attempt(t, id, answered(500))
	require.Equal(t, "failing", f.status(t, w), "not before")

	f.failingFor(t, w, "5 days 1 second")
	d := f.attempt(t, id, answered(500))
	require.Equal(t, "disabled", f.status(t, w))
	require.Equal(t, "failing for 5 days", f.reason(t, w))
	require.Equal(t, hook.StateCanceled, f.read(t, pending).State)
	require.Equal(t, d, f.read(t, id), "what Record returns is what is stored")
	require.False(t, d.Outstanding(), "its retries end with it")
}

// S14: a success within the five days restarts them.
func TestASuccessForgivesFiveDaysOfFailures(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.attempt(t, id, answered(500))
	f.failingFor(t, w, "6 days")
	f.attempt(t, id, answered(200))
	f.attempt(t, f.delivery(t, w), answered(500))
	require.Equal(t, "failing", f.status(t, w))
	require.Less(t, scalar[float64](t, f, `select extract(epoch from now() - failing_since)::float8 from webhooks`), 60.0)
}

// S14: enabling the webhook restarts the five days, and they can pass again.
func TestReenablingStartsTheFiveDaysAnew(t *testing.T) {
	t.Parallel()
	for _, health := range []hook.Health{hook.HealthFailing, hook.HealthFailed} {
		t.Run(string(health), func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			f.exec(t, `update webhooks set active = false, disabled_reason = 'failing for 5 days', health = $1,
				failing_since = now() - interval '6 days'`, string(health))
			_, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
				w.Active, w.DisabledReason = true, ""
				return nil
			})
			require.NoError(t, err)
			id := f.delivery(t, w)
			f.attempt(t, id, answered(500))
			require.True(t, f.health(t, w).Active)
			require.WithinDuration(t, time.Now(), scalar[time.Time](t, f, `select coalesce(failing_since, 'epoch') from webhooks`), time.Minute)

			f.failingFor(t, w, "6 days")
			f.attempt(t, id, answered(500))
			require.Equal(t, hook.ReasonFailedDays, f.reason(t, w))
		})
	}
}

// S14: a delivery that fails for good disables the webhook if the verdict says so
// (disable_webhook_after_failed_delivery).
func TestVerdictCanDisable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	pending := f.delivery(t, w)
	job, err := f.Job(t.Context(), f.delivery(t, w))
	require.NoError(t, err)
	r := storagetest.RecordOf(&job, answered(500))
	r.Verdict = hook.Verdict{State: hook.StateFailed, Disable: hook.ReasonFailedFinal}
	f.record(t, r)
	require.Equal(t, "disabled", f.status(t, w))
	require.Equal(t, "a delivery failed for good", f.reason(t, w))
	require.Equal(t, hook.StateCanceled, f.read(t, pending).State)

	job, err = f.Job(t.Context(), pending)
	require.NoError(t, err)
	r = storagetest.RecordOf(&job, answered(410))
	f.record(t, r)
	require.Equal(t, "a delivery failed for good", f.reason(t, w), "the first reason stays")
}

// If failures are recorded while the webhooks are disabled and enabled, the transactions wait for each other, and
// none fails.
func TestRecordingAndChangingWebhooksAtOnce(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	webhooks := []hook.Webhook{f.webhook(t), f.webhook(t), f.webhook(t)}
	var ids []hook.EventID
	for range 12 {
		ids = append(ids, f.publish(t, "user.created").Event.ID)
	}
	jobs, err := f.Outstanding(t.Context(), ids, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 36)
	var g errgroup.Group
	for worker := range 4 {
		g.Go(func() error {
			for range 10 {
				var records []hook.Record
				for i := range jobs {
					// Each worker records its own deliveries, in its own order.
					at := i
					if worker%2 == 1 {
						at = len(jobs) - 1 - i
					}
					if at%4 == worker {
						status := 500
						if at%3 == 0 {
							status = 200
						}
						records = append(records, storagetest.RecordOf(&jobs[at], answered(status)))
					}
				}
				if _, err := f.Record(t.Context(), records); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, w := range webhooks {
		g.Go(func() error {
			for i := range 20 {
				_, err := f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error {
					w.Active, w.DisabledReason = true, ""
					if i%2 == 0 {
						inactive(w)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, 36*10, scalar[int](t, f, `select count(*) from attempts`))
}
