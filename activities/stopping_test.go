package activities_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// A worker that stops hands over at once: a request that it has cut off uses up no attempt, and
// a finished attempt is recorded.
func TestWorkerStops(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Hang())
		// The request ends in the same moment, so that its result arrives after the stop.
		b.sender.Script(urlB, storagetest.Status(200).After(2*second))
		b.store.Fail = func(op string) error {
			if op == storagetest.OpRecord {
				b.stop(sdkworker.ErrWorkerShutdown)
			}
			return nil
		}
		_, err := b.deliver(b.store.Publish(eventType, payload, a, c))
		message := b.asked(err, contract.ErrorOurs, second)
		require.Equal(b, "deliver: internal", message)
		require.Equal(b, 2*second, time.Since(b.start), "at once")
		require.Zero(b, b.store.Delivery(a).Attempts)
		require.Equal(b, hook.StateSuccess, b.store.Delivery(c).State)
	})
}

func TestWorkerStopsWhileRecording(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		fails := 1
		b.store.Fail = func(op string) error {
			if op == storagetest.OpRecord && fails > 0 {
				fails--
				b.stop(sdkworker.ErrWorkerShutdown)
				return hook.Unavailable("the store", errors.New("away"))
			}
			return nil
		}
		r, err := b.deliver(b.store.Publish(eventType, payload, a))
		require.NoError(b, err)
		require.Equal(b, 1, r.Succeeded)
	})
}

// When the context ends while a delivery is due soon, the run must end.
func TestWorkerStopsWhileWaiting(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		s := b.store.Publish(eventType, payload, a)
		b.store.SetNextAttempt(a, b.start.Add(90*time.Millisecond))
		b.store.Fail = func(op string) error {
			if op == storagetest.OpOutstanding {
				b.during(0, func() { b.stop(sdkworker.ErrWorkerShutdown) })
			}
			return nil
		}
		_, err := b.deliver(s)
		var app *temporal.ApplicationError
		require.ErrorAs(b, err, &app)
		require.False(b, app.NonRetryable())
		require.LessOrEqual(b, app.NextRetryDelay(), second)
		require.Empty(b, b.sender.Requests(urlA))
	})
}

func TestShutdownAsksForAnotherWorkerSoon(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{sdkworker.ErrWorkerShutdown, context.Canceled} {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				b.store.Fail = func(string) error { return hook.Unavailable("the store", cause) }
				_, err := b.deliver(b.store.Publish(eventType, payload))
				b.asked(err, contract.ErrorOurs, second)
			})
		})
	}
}
