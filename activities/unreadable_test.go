package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

var errNoKey = errors.New("no key opens it")

// S3: deliveries whose webhook's secrets no key opens are tried ever more rarely. After a day
// they fail for good, without an attempt, a request, or a wrong signature.
func TestUnreadableSecretEndsDeliveriesAfterADay(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.store.LoseKey(a, errNoKey)
		s := b.store.Publish(eventType, payload, a)
		var waits []time.Duration
		r, err := b.deliver(s)
		for ; err != nil; r, err = b.deliver(s) {
			in := b.next(err)
			require.Contains(b, b.asked(err, contract.ErrorOutstanding, in), "Signing secret unavailable")
			waits = append(waits, in)
			<-time.After(in)
		}
		require.Equal(b, 1, r.Failed)
		require.Equal(b, 5*second, waits[0])
		require.Equal(b, 5*time.Minute, waits[len(waits)-1])
		require.Less(b, len(waits), 320)
		require.InDelta(b, hook.DeferredFor.Hours(), time.Since(b.start).Hours(), 0.1)
		d := b.store.Delivery(a)
		require.Equal(b, hook.StateFailed, d.State)
		require.Equal(b, hook.TextSecretUnavailable, d.Error)
		require.Zero(b, d.Attempts)
		require.Empty(b, b.sender.Requests(urlA))
	})
}

// The event's other deliveries are sent, and their schedule does not delay the unreadable one;
// when its key is back, it is sent.
func TestUnreadableSecretIsRead(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlB, storagetest.Status(500))
		b.store.LoseKey(a, errNoKey)
		s := b.store.Publish(eventType, payload, a, c)
		_, err := b.deliver(s)
		b.asked(err, contract.ErrorOutstanding, 5*second)
		b.requireSentAt(urlB, 0)
		b.store.LoseKey(a, nil)
		<-time.After(5 * second)
		_, err = b.deliver(s)
		b.asked(err, contract.ErrorOutstanding, 25*second)
		b.requireSentAt(urlA, 5*second)
	})
}

// If such a webhook is disabled, its deliveries are canceled.
func TestUnreadableSecretOfADisabledWebhook(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.store.LoseKey(a, errNoKey)
		s := b.store.Publish(eventType, payload, a)
		b.store.LoseWebhook(a, true)
		r, err := b.deliver(s)
		require.NoError(b, err)
		require.Equal(b, 1, r.Canceled)
	})
}

// The drain tries unreadable deferred deliveries ever more rarely too, and fails them in the
// end.
func TestDrainOfUnreadableSecret(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.deferred(20, nil)
		b.store.ChangeWebhook(a, func(w *hook.Webhook) { w.TrippedAt = nil })
		b.store.LoseKey(a, errNoKey)
		d := b.drainer(a)
		r, err := d.all()
		require.NoError(b, err)
		require.Equal(b, contract.DrainResult{Failed: 20, FirstFailed: a.String() + " failed: Signing secret unavailable after 0 attempts"}, r)
		require.Less(b, len(d.waits), 330)
		require.Contains(b, d.whys[0], "Signing secret unavailable")
		require.InDelta(b, hook.DeferredFor.Hours(), time.Since(b.start).Hours(), 0.1)
		require.Empty(b, b.sender.Requests(urlA))
	})
}
