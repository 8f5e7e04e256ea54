package activities_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// inline runs the local activity, possibly concurrently with others.
func (b *bench) inline(s hook.Start) contract.InlineResult {
	b.Helper()
	env := newEnvironment(b.Context())
	env.RegisterActivityWithOptions(b.acts.DeliverFirst, activity.RegisterOptions{Name: "DeliverFirst"})
	var r contract.InlineResult
	value, err := env.ExecuteActivity(b.acts.DeliverFirst, contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: s.Deliveries, Of: 1})
	require.NoError(b, err)
	require.NoError(b, value.Get(&r))
	return r
}

func TestInlineAttemptSucceeds(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		s := b.store.Publish(eventType, payload, b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil))
		r := b.inline(s)
		require.True(b, r.Done)
		require.Equal(b, 2, r.Succeeded)
		b.requireSentAt(urlA, 0)
		b.requireSentAt(urlB, 0)
	})
}

// The local activity does not wait for a second attempt: it leaves that to the regular
// activity, and says for a person what is outstanding.
func TestInlineAttemptFails(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(503))
		r := b.inline(b.store.Publish(eventType, payload, a))
		require.False(b, r.Done)
		require.Equal(b, "1 of 1 deliveries outstanding; "+a.String()+" HTTP 503 Service Unavailable, attempt 1; next in 30s", r.Reason)
		require.Equal(b, 1, b.store.Delivery(a).Attempts)
		require.Zero(b, time.Since(b.start))
	})
}

// A workflow task is too expensive to wait for a slow or failing receiver: the local activity
// sends nothing to such webhooks.
func TestInlineAttemptsAreForQuickReceivers(t *testing.T) {
	t.Parallel()
	t.Run("failing", func(t *testing.T) {
		t.Parallel()
		onBench(t, func(b *bench) {
			for _, health := range []hook.Health{hook.HealthFailing, hook.HealthFailed} {
				a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.Health = health })
				r := b.inline(b.store.Publish(eventType, payload, a, b.store.AddWebhook(urlB, nil)))
				require.Equal(b, contract.InlineResult{Reason: a.String() + " is slow or failing"}, r)
			}
			require.Zero(b, b.sender.MostInFlight())
		})
	})
	for inFlight, done := range map[int]bool{7: true, 8: false} {
		t.Run(map[bool]string{true: "seven in flight", false: "eight in flight"}[done], func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, nil)
				b.sender.Script(urlA, outcomes(storagetest.Status(200).After(10*second), inFlight)...)
				b.sender.Script(urlA, storagetest.Status(200))
				b.during(second, func() {
					require.Equal(b, done, b.inline(b.store.Publish(eventType, payload, a)).Done)
					require.True(b, b.inline(b.store.Publish(eventType, payload, b.store.AddWebhook(urlB, nil))).Done, "another webhook")
				})
				_, err := b.deliver(b.store.Publish(eventType, payload, many(a, inFlight)...))
				require.NoError(b, err)
				require.True(b, b.inline(b.store.Publish(eventType, payload, a)).Done, "once they have ended")
			})
		})
	}
}

func outcomes(o storagetest.Outcome, n int) []storagetest.Outcome {
	return slices.Repeat([]storagetest.Outcome{o}, n)
}

// However many receivers hang, they hold no more than 64 workflow tasks.
func TestInlineAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		b.sender.Script(urlA, storagetest.Hang())
		done := make(chan contract.InlineResult)
		for range 64 {
			s := b.store.Publish(eventType, payload, b.store.AddWebhook(urlA, nil))
			go func() { done <- b.inline(s) }()
		}
		<-time.After(second)
		require.Equal(b, contract.InlineResult{Reason: "busy"}, b.inline(b.store.Publish(eventType, payload, b.store.AddWebhook(urlB, nil))))
		for range 64 {
			require.Contains(b, (<-done).Reason, "Connection timeout")
		}
		require.True(b, b.inline(b.store.Publish(eventType, payload, b.store.AddWebhook(urlB, nil))).Done)
	})
}

// The local activity never fails: the regular activity meets the same failure.
func TestInlineAttemptWhileTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		b.store.Fail = func(string) error { return hook.Unavailable("the store", errors.New("10.0.0.1 refused")) }
		r := b.inline(b.store.Publish(eventType, payload, b.store.AddWebhook(urlA, nil)))
		require.Equal(b, contract.InlineResult{Reason: "load deliveries: unavailable"}, r)
	})
}

// Once the worker is about to stop, no new request begins.
func TestInlineAttemptAfterStop(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		b.endRun()
		b.endRun() // a second call does nothing
		r := b.inline(b.store.Publish(eventType, payload, b.store.AddWebhook(urlA, nil)))
		require.False(b, r.Done)
		require.Zero(b, b.sender.MostInFlight())
	})
}
