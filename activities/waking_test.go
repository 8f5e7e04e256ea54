package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// asks requires that a run asks for another run, and returns the delay.
func (b *bench) asks(err error) (in time.Duration, why string) {
	b.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(b, err, &app)
	require.False(b, app.NonRetryable())
	return app.NextRetryDelay(), app.Message()
}

// replayRun makes one run of a replay.
func (b *bench) replayRun(id hook.ReplayID) error {
	b.Helper()
	env := newEnvironment(b.Context())
	env.RegisterActivityWithOptions(b.acts.Replay, activity.RegisterOptions{Name: "Replay"})
	_, err := env.ExecuteActivity(b.acts.Replay, contract.ReplayInput{ReplayID: id})
	return err
}

// No state of a run of the worker outlives it: activities of a stopped run leave due deliveries
// to another worker, a second later each time, and activities of the next run work as in the
// first.
func TestActivitiesAfterARun(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		started := b.store.Publish(eventType, payload, b.store.AddWebhook(urlA, nil))
		waiting := b.deferred(3, func(h *hook.Webhook) { h.TrippedAt = nil; h.PausedAt = &b.start })
		b.store.ChangeWebhook(waiting, func(h *hook.Webhook) { h.PausedAt = nil })
		replayed, replay := b.replaying(30, 10)
		b.endRun()
		for range 3 {
			_, err := b.deliver(started)
			b.asked(err, contract.ErrorOurs, second)
			_, err = b.drainer(waiting).run()
			b.asked(err, contract.ErrorOurs, second)
			b.asked(b.replayRun(replay), contract.ErrorOurs, second)
		}
		require.Empty(b, b.sender.Requests(urlA))

		b.Cleanup(b.begin())
		r, err := b.deliver(started)
		require.NoError(b, err)
		require.Equal(b, 1, r.Succeeded)
		drained, err := b.drainAll(waiting)
		require.NoError(b, err)
		require.Equal(b, 3, drained.Succeeded)
		b.during(30*second, func() {
			_, err := b.drainAll(replayed)
			require.NoError(b, err)
		})
		again, _, err := b.replayAll(replay)
		require.NoError(b, err)
		require.Equal(b, 30+2, again.Succeeded, "it had no delivery of those above")
	})
}

// Deliveries that a stopping worker does not begin are begun by another worker a second later,
// throttled ones too; a delivery that is due later stays due then.
func TestStoppingLeavesDueDeliveries(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"in flight": 0, "over a limit": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.RateLimit = limit })
				b.sender.Script(urlA, storagetest.Status(200).After(500*time.Millisecond))
				b.during(100*time.Millisecond, b.endRun)
				_, err := b.deliver(b.store.Publish(eventType, payload, many(a, 100)...))
				b.asked(err, contract.ErrorOurs, second)
			})
		})
	}
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		start := b.store.Publish(eventType, payload, a)
		b.store.SetNextAttempt(a, b.start.Add(time.Hour))
		b.endRun()
		_, err := b.deliver(start)
		b.asked(err, contract.ErrorOutstanding, time.Hour)
	})
}

// Temporal does not bound the delay that an activity asks for: the activity does, by the
// longest Retry-After.
func TestDeliverAsksForADayAtMost(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		start := b.store.Publish(eventType, payload, a)
		b.store.SetNextAttempt(a, b.start.AddDate(1, 0, 0)) // a wrong clock has set it
		_, err := b.deliver(start)
		b.asked(err, contract.ErrorOutstanding, 24*time.Hour)
	})
}

// Spec 9: a drain without a delivery to probe with looks every five minutes, and at once when a
// delivery is deferred.
func TestDrainSleepsNoLongerThanAProbe(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, nil)
		b.sender.Script(urlA, storagetest.Refused())
		b.store.SetNextAttempt(a, b.start.Add(2*time.Hour)) // its fifth attempt
		_, err := b.drainer(a).run()
		in, why := b.asks(err)
		require.Equal(b, 5*time.Minute, in)
		require.Contains(b, why, "1 deliveries waiting; endpoint unavailable")
	})
}

// Spec 9: an endpoint that is available again gets new events, although the deferred deliveries
// are not due for half an hour.
func TestDrainWakesForDeferredDeliveries(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, nil)
		b.sender.Script(urlA, append(outcomes(storagetest.Refused(), 4), storagetest.Status(200))...)
		var published time.Duration
		b.during(12*time.Minute, func() {
			published = time.Since(b.start)
			s := b.store.Publish(eventType, payload, a)
			r, err := b.deliver(s)
			require.NoError(b, err)
			require.Equal(b, 1, r.Deferred)
		})
		r, err := b.drainAll(a)
		require.NoError(b, err)
		require.Equal(b, 2, r.Succeeded)
		times := b.sender.Times(urlA, b.start)
		require.Len(b, times, 6)
		require.Less(b, times[3], published, "the last attempt before it was half an hour ahead")
		require.LessOrEqual(b, times[4]-published, sweepEvery+second)
	}, schedule(second, second, second, 30*time.Minute))
}

func schedule(delays ...time.Duration) func(*activities.Deps) {
	return func(d *activities.Deps) { d.Schedule = delays }
}

// A drain does not sleep through a change between its look and its nap.
func TestDrainSeesChangesBeforeItSleeps(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]func(*hook.Webhook){
		"paused":      func(h *hook.Webhook) { h.PausedAt, h.TrippedAt = h.TrippedAt, nil },
		"unavailable": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.deferred(2, reason)
				changed := false
				b.store.Fail = func(op string) error {
					if op == storagetest.OpSleeps && !changed {
						changed = true
						b.store.ChangeWebhook(a, func(h *hook.Webhook) { h.PausedAt, h.TrippedAt = nil, nil })
					}
					return nil
				}
				d := b.drainer(a)
				r, err := d.all()
				require.NoError(b, err)
				require.Equal(b, 2, r.Succeeded)
				require.Empty(b, d.waits, "it looks again in the same run")
			})
		})
	}
}

// However often a change falls into that moment, a run ends, and asks for the next one after a second.
func TestDrainThatIsWokenAllTheTime(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, nil)
		b.store.Fail = func(op string) error {
			if op == storagetest.OpSleeps {
				<-time.After(100 * time.Millisecond)
				b.store.ChangeWebhook(a, func(h *hook.Webhook) { h.PausedAt = &b.start })
			}
			return nil
		}
		_, err := b.drainer(a).run()
		in, _ := b.asks(err)
		require.Equal(b, second, in)
		require.InDelta(b, 10*second, time.Since(b.start), float64(second))
	})
}

// If a drain can't store that it sleeps, it can't be woken, so it sleeps for a short time only.
func TestDrainThatCanNotNote(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, func(h *hook.Webhook) { h.PausedAt = &b.start })
		b.store.Fail = func(op string) error {
			if op == storagetest.OpSleeps {
				return hook.Unavailable("the store", errors.New("away"))
			}
			return nil
		}
		_, err := b.drainer(a).run()
		in, _ := b.asks(err)
		require.Equal(b, 30*second, in)
	})
}

// The time of the next probe may be that of another worker, whose clock is an hour ahead.
func TestProbesDoNotTrustAClock(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, nil)
		d := b.drainer(a)
		d.state = map[string]any{"probes": 3, "probe_at": b.start.Add(time.Hour)}
		_, err := d.run()
		in, _ := b.asks(err)
		require.Equal(b, 8*second, in)
	})
}

// A replay that is resumed between its look and its nap goes on at once.
func TestReplaySeesChangesBeforeItSleeps(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		_, id := b.replaying(30, 10)
		b.store.ChangeReplay(id, func(r *hook.Replay) { r.State = hook.ReplayPaused })
		changed := false
		b.store.Fail = func(op string) error {
			if op == storagetest.OpReplaySleeps && !changed {
				changed = true
				b.store.ChangeReplay(id, func(r *hook.Replay) { r.State = hook.ReplayRunning })
			}
			return nil
		}
		in, why := b.asks(b.replayRun(id))
		require.Equal(b, 30*second, in)
		require.Contains(b, why, "30 deliveries made, 30 outstanding")
	})
}
