package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// requireLimited requires that a request by hand was refused for the reason.
func (b *bench) requireLimited(err error, reason hook.WaitReason) {
	b.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(b, err, &app)
	require.Equal(b, contract.ErrorLimited, app.Type())
	require.True(b, app.NonRetryable())
	var l contract.Limited
	require.NoError(b, app.Details(&l))
	require.Equal(b, reason, l.Reason)
	require.Equal(b, app.Message(), l.Message)
	require.Equal(b, second, l.RetryAfter)
}

// apart returns the bench with an environment of its own, for activities that run concurrently.
func (b *bench) apart() *bench {
	other := *b
	other.env = newEnvironment(b.Context())
	other.env.RegisterActivityWithOptions(b.acts.Deliver, activity.RegisterOptions{Name: "Deliver"})
	other.env.RegisterActivityWithOptions(b.acts.SendNow, activity.RegisterOptions{Name: "SendNow"})
	return &other
}

// Spec 9: any answer to a request that passed an open breaker closes the breaker, and the drain
// sends the deferred deliveries. A request by hand is such a request.
func TestAnswerByHandClosesTheBreaker(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]bool{"test": true, "retry by hand": false} {
		for _, status := range []int{200, 500} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				onBench(t, func(b *bench) {
					a := b.deferred(300, nil)
					answered := time.Hour
					b.sender.Script(urlA, storagetest.Refused())
					b.during(answered, func() {
						b.sender.Script(urlA, storagetest.Status(status), storagetest.Status(200))
						d := b.store.Delivery(a)
						if test {
							d = b.store.Test(eventType, payload, a)
						}
						_, err := b.apart().sendNow(d)
						require.NoError(b, err)
						require.Nil(b, b.store.Webhook(a).TrippedAt)
					})
					r, err := b.drainAll(a)
					require.NoError(b, err)
					require.Zero(b, r.Failed)
					times := b.sender.Times(urlA, b.start)
					probes := within(times, answered-1)
					require.Less(b, probes, 20)
					require.Less(b, within(times, answered+sweepEvery+20*time.Millisecond)-probes, 30, "slowly at first")
					require.Greater(b, within(times, answered+10*second)-probes, 290)
				})
			})
		}
	}
}

// A request by hand that gets no response leaves the breaker open, and counts for it like any
// other.
func TestRefusalsByHand(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		b.sender.Script(urlA, storagetest.Refused())
		a := b.store.AddWebhook(urlA, nil)
		for n := range 10 {
			require.Nil(b, b.store.Webhook(a).TrippedAt, "after %d", n)
			_, err := b.sendNow(b.store.Test(eventType, payload, a))
			require.NoError(b, err)
		}
		require.NotNil(b, b.store.Webhook(a).TrippedAt)
		_, err := b.sendNow(b.store.Test(eventType, payload, a))
		require.NoError(b, err)
		require.NotNil(b, b.store.Webhook(a).TrippedAt)
	})
}

// Spec 9: a test shares the bound of requests in flight with events. If there is no place for
// it, it is refused, and has not begun.
func TestByHandSharesTheBoundInFlight(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(200).After(10*second))
		s := b.store.Publish(eventType, payload, many(a, 64)...)
		b.during(0, func() {
			r, err := b.apart().deliver(s)
			require.NoError(b, err)
			require.Equal(b, 64, r.Succeeded)
		})
		<-time.After(second)
		d := b.store.Test(eventType, payload, a)
		_, err := b.sendNow(d)
		b.requireLimited(err, hook.WaitInFlight)
		require.Equal(b, 4*second, time.Since(b.start), "a person waits")
		require.Len(b, b.sender.Requests(urlA), 64)
		require.Empty(b, b.store.Log(d.ID))

		<-time.After(5 * second)
		o, err := b.sendNow(d)
		require.NoError(b, err, "a place comes free meanwhile")
		require.Equal(b, hook.StateSuccess, o.State)
		require.Equal(b, 64, b.sender.MostInFlight())
		b.store.DropTest(d.ID)
		require.Len(b, b.store.Log(d.ID), 1)
	})
}

// A test that was refused has not begun: the API can still drop it.
func TestARefusedTestCanBeDropped(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Hang())
		s := b.store.Publish(eventType, payload, many(a, 64)...)
		b.during(0, func() { _, _ = b.apart().deliver(s) })
		<-time.After(second)
		d := b.store.Test(eventType, payload, a)
		_, err := b.sendNow(d)
		b.requireLimited(err, hook.WaitInFlight)
		b.store.DropTest(d.ID)
		_, err = b.store.Job(t.Context(), d.ID)
		require.Equal(b, hook.KindNotFound, hook.KindOf(err))
		<-time.After(20 * second)
	})
}

// Spec 9: requests by hand share the rate limit.
func TestByHandSharesTheRateLimit(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.RateLimit = 1 })
		b.sender.Script(urlA, storagetest.Status(200))
		b.store.Publish(eventType, payload, a)
		for range 3 {
			_, err := b.sendNow(b.store.Delivery(a))
			require.NoError(b, err)
		}
		times := b.sender.Times(urlA, b.start)
		for i := range times[1:] {
			require.GreaterOrEqual(b, times[i+1]-times[i], second)
		}
		require.Less(b, times[2], 3*second)
	})
}

// Through an open breaker one request by hand at a time is allowed.
func TestByHandProbesOneAtATime(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.TrippedAt = &b.start })
		b.sender.Script(urlA, storagetest.Hang())
		first, next := b.store.Test(eventType, payload, a), b.store.Test(eventType, payload, a)
		b.during(0, func() {
			_, err := b.apart().sendNow(first)
			require.NoError(b, err)
		})
		<-time.After(second)
		_, err := b.sendNow(next)
		b.requireLimited(err, hook.WaitUnavailable)
		<-time.After(20 * second)
		b.requireSentAt(urlA, 0)
	})
}
