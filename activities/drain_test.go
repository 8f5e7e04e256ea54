package activities_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// drainer runs a webhook's drain, run after run, as Temporal does: each run gets the heartbeat
// of the one before it.
type drainer struct {
	*bench
	webhook hook.WebhookID
	state   any
	// waits are the delays that the runs asked for, and the reasons.
	waits []time.Duration
	whys  []string
}

// sweepEvery is how often a sweeper looks for woken drains.
const sweepEvery = 2 * second

func (b *bench) drainer(id hook.WebhookID) *drainer { return &drainer{bench: b, webhook: id} }

// run makes one run of the activity.
func (d *drainer) run() (contract.DrainResult, error) {
	d.Helper()
	env := newEnvironment(d.Context())
	env.RegisterActivityWithOptions(d.acts.Drain, activity.RegisterOptions{Name: "Drain"})
	if d.state != nil {
		env.SetHeartbeatDetails(d.state)
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var state map[string]any
		require.NoError(d, details.Get(&state))
		d.state = state
	})
	var r contract.DrainResult
	value, err := env.ExecuteActivity(d.acts.Drain, contract.DrainInput{WebhookID: d.webhook})
	if err == nil {
		require.NoError(d, value.Get(&r))
	}
	return r, err
}

// all runs until the drain ends.
func (d *drainer) all() (contract.DrainResult, error) {
	d.Helper()
	for range 10_000 {
		r, err := d.run()
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NonRetryable() {
			return r, err
		}
		d.waits, d.whys = append(d.waits, app.NextRetryDelay()), append(d.whys, app.Message())
		select {
		case <-time.After(app.NextRetryDelay()):
		case <-d.store.Woken(d.webhook):
			<-time.After(sweepEvery)
		}
	}
	return contract.DrainResult{}, errors.New("it never ends")
}

func (b *bench) drainAll(id hook.WebhookID) (contract.DrainResult, error) {
	return b.drainer(id).all()
}

// deferred makes a webhook whose endpoint is unavailable, with deferred deliveries.
func (b *bench) deferred(n int, change func(*hook.Webhook)) hook.WebhookID {
	b.Helper()
	now := time.Now()
	a := b.store.AddWebhook(urlA, func(h *hook.Webhook) {
		h.TrippedAt = &now
		if change != nil {
			change(h)
		}
	})
	r, err := b.deliver(b.store.Publish(eventType, payload, many(a, n)...))
	require.NoError(b, err)
	require.Equal(b, n, r.Deferred)
	return a
}

// Spec 9: deliveries wait until a probe succeeds; then all of them arrive, at a bounded rate,
// slowly at first. Only the probes have used up an attempt.
func TestDrainProbesAndThenSendsAll(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1000, nil)
		b.sender.Script(urlA, append(outcomes(storagetest.Refused(), 4), storagetest.Status(200).After(10*time.Millisecond))...)
		d := b.drainer(a)
		r, err := d.all()
		require.NoError(b, err)
		require.Equal(b, contract.DrainResult{Succeeded: 1000}, r)
		require.Nil(b, b.store.Webhook(a).TrippedAt)
		times := b.sender.Times(urlA, b.start)
		require.Equal(b, []time.Duration{second, 3 * second, 7 * second, 15 * second, 31 * second}, times[:5], "one at a time, ever more rarely")
		require.Contains(b, d.whys[1], "1000 deliveries waiting; endpoint unavailable for ")
		require.LessOrEqual(b, b.sender.MostInFlight(), 64)
		rest := times[5:]
		require.Less(b, within(rest, rest[0]+100*time.Millisecond), 30, "slowly at first")
		for at := rest[0]; at < rest[len(rest)-1]; at += second {
			require.LessOrEqual(b, within(rest, at+second)-within(rest, at), 200+256, "at a bounded rate")
		}
		require.GreaterOrEqual(b, within(rest, rest[0]+8*second), 996, "all but those that failed as probes, which have their own schedule")
		attempts := 0
		for _, delivery := range b.store.Deliveries(a) {
			require.Equal(b, hook.StateSuccess, delivery.State)
			attempts += delivery.Attempts
		}
		require.Equal(b, 1004, attempts)
		require.Len(b, times, 1004)
	})
}

// Requests that hang delay no others: they hold only their own places.
func TestDrainGoesOnWhileRequestsHang(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		b.sender.Script(urlA, storagetest.Status(200).After(4*second))
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.Timeout, h.MaxAttempts = 5*second, 1 })
		const deferred = 64 * 15
		_, err := b.deliver(b.store.Publish(eventType, payload, many(a, 64+deferred)...))
		require.NoError(b, err)

		outcome := append(outcomes(storagetest.Status(200).After(10*time.Millisecond), 19), storagetest.Hang())
		b.sender.Script(urlA, slices.Repeat(outcome, deferred/20)...)
		begin := time.Now()
		r, err := b.drainAll(a)
		require.NoError(b, err)
		require.Equal(b, []int{deferred * 19 / 20, deferred / 20}, []int{r.Succeeded, r.Failed})
		require.Len(b, b.sender.Requests(urlA), 64+deferred, "none is sent twice")
		require.Less(b, time.Since(begin), 6*second, "all that hang hang at once")
	})
}

// within returns how many requests were made up to a time.
func within(times []time.Duration, until time.Duration) int {
	n := 0
	for _, t := range times {
		if t <= until {
			n++
		}
	}
	return n
}

// Spec 9: 24 h after their event deferred deliveries fail as Endpoint unavailable. Their drain
// costs Temporal some hundred runs a day, however many deliveries wait.
func TestDrainGivesUpAfterADay(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(300, nil)
		b.sender.Script(urlA, storagetest.Hang())
		d := b.drainer(a)
		r, err := d.all()
		require.NoError(b, err)
		require.Equal(b, contract.DrainResult{Failed: 300, FirstFailed: a.String() + " failed: Endpoint unavailable"}, r)
		require.InDelta(b, 24*time.Hour, time.Since(b.start), float64(10*time.Minute))
		require.Less(b, len(d.waits), 400)
		gaveUp := 0
		for _, delivery := range b.store.Deliveries(a) {
			require.Equal(b, hook.StateFailed, delivery.State)
			require.LessOrEqual(b, delivery.Attempts, hook.MaxAttempts)
			if delivery.Error == hook.TextUnavailable {
				gaveUp++
			}
		}
		require.Greater(b, gaveUp, 200)
		require.Equal(b, hook.HealthFailed, b.store.Webhook(a).Health)
		for _, wait := range d.waits {
			require.LessOrEqual(b, wait, 5*time.Minute)
		}
	})
}

// Spec 9: while the client has paused the webhook, all its deliveries wait, and none is tried
// or given up; afterwards they are sent slowly at first.
func TestDrainOfAPausedWebhook(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(300, func(h *hook.Webhook) { h.PausedAt, h.TrippedAt = h.TrippedAt, nil })
		b.during(48*time.Hour+3*second, func() { b.store.ChangeWebhook(a, func(h *hook.Webhook) { h.PausedAt = nil }) })
		d := b.drainer(a)
		r, err := d.all()
		require.NoError(b, err)
		require.Equal(b, contract.DrainResult{Succeeded: 300}, r)
		times := b.sender.Times(urlA, b.start)
		require.Len(b, times, 300)
		require.Greater(b, times[0], 48*time.Hour)
		require.Less(b, times[0], 48*time.Hour+6*time.Minute)
		require.Less(b, within(times, times[0]+20*time.Millisecond), 30, "slowly at first")
		require.Contains(b, d.whys[0], "300 deliveries waiting; paused by the client since ")
	})
}

// Deliveries in progress stop when the webhook is paused: an event's later attempts wait too,
// and so does a batch that a drain had begun.
func TestPauseStopsDeliveriesInProgress(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		pause := func(a hook.WebhookID) {
			now := time.Now()
			b.store.ChangeWebhook(a, func(h *hook.Webhook) { h.PausedAt = &now })
		}
		a := b.deferred(2000, nil)
		b.store.ChangeWebhook(a, func(h *hook.Webhook) { h.TrippedAt = nil })
		b.sender.Script(urlA, storagetest.Status(200).After(100*time.Millisecond))
		b.during(2*second, func() { pause(a) })
		_, err := b.drainer(a).run()
		require.ErrorContains(b, err, "paused by the client")
		sent := len(b.sender.Requests(urlA))
		require.Greater(b, sent, 1000)
		require.Less(b, sent, 2000)
		require.Less(b, b.sender.Times(urlA, b.start)[sent-1], 3*second+100*time.Millisecond, "what was loaded may go out for a second")

		other := b.store.AddWebhook(urlB, nil)
		pause(other)
		r, err := b.deliver(b.store.Publish(eventType, payload, other))
		require.NoError(b, err)
		require.Equal(b, 1, r.Deferred)
		require.Empty(b, b.sender.Requests(urlB))
	})
}

// A delivery that fails in the drain keeps to its own schedule, and stays with the drain until
// it ends.
func TestDrainKeepsTheSchedule(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, nil)
		b.sender.Script(urlA, storagetest.Status(500))
		r, err := b.drainAll(a)
		require.NoError(b, err)
		require.Equal(b, contract.DrainResult{Failed: 1, FirstFailed: a.String() + " failed: HTTP 500 Internal Server Error after 5 attempts"}, r)
		b.requireSentAt(urlA, second, 31*second, 5*time.Minute+31*second, 35*time.Minute+31*second, 2*time.Hour+35*time.Minute+31*second)
		require.Equal(b, 5, b.store.Delivery(a).Scheduled)
	})
}

// A drain that waits for an attempt to come soon sees deliveries that are deferred meanwhile.
func TestDrainSleepsShortly(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, nil)
		b.sender.Script(urlA, append(outcomes(storagetest.Status(500), 3), storagetest.Status(200))...)
		b.during(10*time.Minute, func() {
			b.store.Publish(eventType, payload, a)
			require.NoError(b, b.store.Defer(t.Context(), []hook.DeliveryID{b.store.Deliveries(a)[1].ID}, []hook.WebhookID{a}))
		})
		r, err := b.drainAll(a)
		require.NoError(b, err)
		require.Equal(b, 2, r.Succeeded)
		times := b.sender.Times(urlA, b.start)
		require.Len(b, times, 5)
		require.Less(b, times[3], 10*time.Minute+31*second, "while the first waits for half an hour")
	})
}

// S5, S15: when the webhook is deleted or deactivated, its deferred deliveries end.
func TestDrainOfADeletedWebhook(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]bool{"deleted": false, "deactivated": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.deferred(3, nil)
				b.store.ChangeWebhook(a, func(h *hook.Webhook) { h.TrippedAt = nil })
				b.store.LoseWebhook(a, lose)
				r, err := b.drainAll(a)
				require.NoError(b, err)
				require.Equal(b, contract.DrainResult{}, r, "they are not its own any more")
				require.Zero(b, b.sender.MostInFlight())
				for _, d := range b.store.Deliveries(a) {
					require.Equal(b, hook.StateCanceled, d.State)
				}
			})
		})
	}
}

// M7: a deferred message is sent once, whatever its outcome.
func TestDrainSendsMessagesOnce(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(20, func(h *hook.Webhook) { h.Profile, h.Timeout, h.MaxAttempts = hook.ProfileMomento, 5*second, 1 })
		b.sender.Script(urlA, storagetest.Hang(), storagetest.Status(500), storagetest.Status(200))
		r, err := b.drainAll(a)
		require.NoError(b, err)
		require.Equal(b, []int{18, 2}, []int{r.Succeeded, r.Failed})
		require.Len(b, b.sender.Requests(urlA), 20)
	})
}

// A delivery that is deferred just as a drain ends is not forgotten.
func TestDrainSeesDeliveriesDeferredAtItsEnd(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(1, nil)
		again := true
		b.store.Fail = func(op string) error {
			if op == storagetest.OpEnds && again {
				again = false
				b.store.Publish(eventType, payload, a)
				<-time.After(time.Millisecond)
				return b.store.Defer(t.Context(), []hook.DeliveryID{b.store.Deliveries(a)[1].ID}, []hook.WebhookID{a})
			}
			return nil
		}
		r, err := b.drainAll(a)
		require.NoError(b, err)
		require.Equal(b, 2, r.Succeeded)
	})
}

// Spec 9: an outage of Grapnel uses up no attempt, and the drain goes on after it.
func TestDrainWhileTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, op := range []string{
		storagetest.OpDeferred, storagetest.OpExpire, storagetest.OpSetBreaker, storagetest.OpSleeps, storagetest.OpEnds, storagetest.OpRecord,
	} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.deferred(10, nil)
				fails := 3
				b.store.Fail = func(at string) error {
					if at == op && fails > 0 {
						fails--
						return hook.Unavailable("the store", errors.New("away"))
					}
					return nil
				}
				r, err := b.drainAll(a)
				require.NoError(b, err)
				require.Equal(b, 10, r.Succeeded)
				require.Len(b, b.sender.Requests(urlA), 10)
			})
		})
	}
}
