package activities_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

func many(id hook.WebhookID, n int) []hook.WebhookID {
	return slices.Repeat([]hook.WebhookID{id}, n)
}

// Spec 9: a webhook has at most 64 requests in flight per process; deliveries above that wait,
// and use up no attempt.
func TestAtMost64InFlightPerWebhook(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Status(200).After(100*time.Millisecond))
		b.sender.Script(urlB, storagetest.Status(200).After(10*time.Millisecond))
		r, err := b.deliver(b.store.Publish(eventType, payload, append(many(a, 200), c)...))
		require.NoError(b, err)
		require.Equal(b, 201, r.Succeeded)
		require.Equal(b, 65, b.sender.MostInFlight(), "the other webhook is sent to beside them")
		b.requireSentAt(urlB, 0)
		require.Less(b, time.Since(b.start), 500*time.Millisecond, "places that come free are taken at once")
	})
}

// Spec 9: a delivery that finds no place for a second is deferred for the webhook's drain, with
// its schedule and attempts as they were, and holds no worker's place any more.
func TestThrottledDeliveriesAreDeferred(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.Timeout = 5 * second })
		b.sender.Script(urlA, storagetest.Status(200).After(4*second))
		r, err := b.deliver(b.store.Publish(eventType, payload, many(a, 100)...))
		require.NoError(b, err)
		require.Equal(b, 64, r.Succeeded)
		require.Equal(b, 36, r.Deferred)
		require.Zero(b, r.Failed)
		require.Equal(b, 4*second, time.Since(b.start), "no longer than what is in flight")
		require.Equal(b, []hook.WebhookID{a}, b.store.Drained())
		deferred := 0
		for _, d := range b.store.Deliveries(a) {
			if d.Deferred {
				deferred++
				require.Equal(b, hook.StatePending, d.State)
				require.Zero(b, d.Attempts)
				require.True(b, d.Outstanding())
			}
		}
		require.Equal(b, 36, deferred)
	})
}

// Spec 9: per-webhook rate limit.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.RateLimit = 20 })
		r, err := b.deliver(b.store.Publish(eventType, payload, many(a, 100)...))
		require.NoError(b, err)
		require.InDelta(b, 22, r.Succeeded, 1, "two at once and twenty in the second that it waits")
		require.Equal(b, 100, r.Succeeded+r.Deferred)
		first := b.sender.Times(urlA, b.start)
		require.Equal(b, []time.Duration{0, 0}, first[:2], "a tenth of a second's at once")

		// The drain keeps to it as well.
		drained, err := b.drainAll(a)
		require.NoError(b, err)
		require.Equal(b, 100, r.Succeeded+drained.Succeeded)
		times := b.sender.Times(urlA, b.start)
		for i := range times[:len(times)-22] {
			require.Greater(b, times[i+22]-times[i], 990*time.Millisecond, "from request %d on", i)
		}
	})
}

// Spec 9: an endpoint that keeps timing out or refusing trips the breaker. Deliveries that are
// due then wait, without using up attempts. Other webhooks are not affected.
func TestBreakerTrips(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]storagetest.Outcome{"refuses": storagetest.Refused(), "hangs": storagetest.Hang()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
				b.sender.Script(urlA, answer)
				_, err := b.deliver(b.store.Publish(eventType, payload, many(a, 9)...))
				b.asked(err, contract.ErrorOutstanding, 30*second)
				require.Nil(b, b.store.Webhook(a).TrippedAt, "nine in a row")
				_, err = b.deliver(b.store.Publish(eventType, payload, a))
				b.asked(err, contract.ErrorOutstanding, 30*second)
				require.NotNil(b, b.store.Webhook(a).TrippedAt, "ten")

				before := len(b.sender.Requests(urlA))
				r, err := b.deliver(b.store.Publish(eventType, payload, append(many(a, 50), c)...))
				require.NoError(b, err)
				require.Equal(b, 50, r.Deferred)
				require.Equal(b, 1, r.Succeeded)
				require.Len(b, b.sender.Requests(urlA), before, "not one more")
				require.Equal(b, []hook.WebhookID{a}, b.store.Drained())
			})
		})
	}
}

// Any response, whatever its status, shows that the endpoint is available: the schedule handles
// it.
func TestAnswersTripNoBreaker(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]storagetest.Outcome{
		"HTTP 500":             outcomes(storagetest.Status(500), 40),
		"one answer among ten": append(outcomes(storagetest.Refused(), 9), append([]storagetest.Outcome{storagetest.Status(503)}, outcomes(storagetest.Refused(), 9)...)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, nil)
				b.sender.Script(urlA, answers...)
				for range answers {
					_, err := b.deliver(b.store.Publish(eventType, payload, a))
					b.asked(err, contract.ErrorOutstanding, 30*second)
				}
				require.Nil(b, b.store.Webhook(a).TrippedAt)
			})
		})
	}
}

// An endpoint that lets some requests hang while it answers others is available. The requests
// that hang end last, all in a row, but each began before the last response.
func TestHangingBesideAnswersTripsNoBreaker(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, append(outcomes(storagetest.Hang(), 20), outcomes(storagetest.Status(200).After(time.Second), 40)...)...)
		_, err := b.deliver(b.store.Publish(eventType, payload, many(a, 60)...))
		b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Nil(b, b.store.Webhook(a).TrippedAt)

		b.sender.Script(urlA, storagetest.Hang())
		_, err = b.deliver(b.store.Publish(eventType, payload, many(a, 9)...))
		b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Nil(b, b.store.Webhook(a).TrippedAt, "nine that began after the answers")
		_, err = b.deliver(b.store.Publish(eventType, payload, a))
		b.asked(err, contract.ErrorOutstanding, 30*second)
		require.NotNil(b, b.store.Webhook(a).TrippedAt, "ten")
	})
}

// Of a burst to an endpoint that hangs, 64 requests time out and the other deliveries are
// deferred; no run lasts longer than one timeout.
func TestBurstToAHangingEndpoint(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Hang())
		_, err := b.deliver(b.store.Publish(eventType, payload, many(a, 300)...))
		message := b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Contains(b, message, "64 of 300 deliveries outstanding")
		require.Equal(b, 15*second, time.Since(b.start))
		require.Len(b, b.sender.Requests(urlA), 64)
		require.NotNil(b, b.store.Webhook(a).TrippedAt)
	})
}

// Deliveries that could not be deferred, because the store is unavailable, stay with their
// workflow.
func TestDeferringFails(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		now := time.Now()
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.TrippedAt = &now })
		b.store.Fail = func(op string) error {
			if op == storagetest.OpDefer {
				return fmt.Errorf("disk full")
			}
			return nil
		}
		_, err := b.deliver(b.store.Publish(eventType, payload, a))
		require.Equal(b, "defer deliveries: internal", b.asked(err, contract.ErrorOurs, 5*second))
		require.False(b, b.store.Delivery(a).Deferred)

		// If the drain does not start, that is no failure: the sweeper starts it later.
		b.store.Fail = func(op string) error {
			if op == storagetest.OpDrain {
				return hook.Unavailable("Temporal", nil)
			}
			return nil
		}
		r, err := b.deliver(b.store.Publish(eventType, payload, a))
		require.NoError(b, err)
		require.Equal(b, 1, r.Deferred)
	})
}
