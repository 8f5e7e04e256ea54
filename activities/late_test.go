package activities_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// S9: attempts that can't be recorded within their run are kept, and recorded when the store is
// available again; until then their deliveries are not sent.
func TestResultsAreRecordedLate(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*hook.Webhook){
		"at least once": nil,
		"at most once":  func(w *hook.Webhook) { w.Profile, w.Cache = hook.ProfileMomento, "c" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				var away atomic.Bool
				away.Store(true)
				b.store.Fail = func(op string) error {
					if op == storagetest.OpRecord && away.Load() {
						return hook.Unavailable("the store", nil)
					}
					return nil
				}
				a := b.store.AddWebhook(urlA, change)
				s := b.store.Publish(eventType, payload, a)
				_, err := b.deliver(s)
				b.asked(err, contract.ErrorOurs, 5*second)
				require.Positive(b, b.acts.Engine().MemoryUse()["late"].Used)

				_, err = b.deliver(s)
				b.asked(err, contract.ErrorOurs, 5*second)
				require.Len(b, b.sender.Requests(urlA), 1, "its result is kept")

				away.Store(false)
				<-time.After(2 * second)
				require.Equal(b, hook.StateSuccess, b.store.Delivery(a).State)
				r, err := b.deliver(s)
				require.NoError(b, err)
				require.Equal(b, 1, r.Succeeded)
				require.Len(b, b.sender.Requests(urlA), 1)
				require.Len(b, b.store.Log(b.store.Delivery(a).ID), 1)
				require.Zero(b, b.acts.Engine().MemoryUse()["late"].Used)
			})
		})
	}
}

// Attempts are kept for a limited time and in a limited number; beyond that delivery is at
// least once.
func TestLateResultsAreGivenUp(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		var away atomic.Bool
		away.Store(true)
		b.store.Fail = func(op string) error {
			if op == storagetest.OpRecord && away.Load() {
				return hook.Unavailable("the store", nil)
			}
			return nil
		}
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		s := b.store.Publish(eventType, payload, a)
		_, err := b.deliver(s)
		b.next(err)
		other := b.store.Publish(eventType, payload, c)
		_, err = b.deliver(other)
		b.next(err)
		<-time.After(15 * time.Minute)
		require.Zero(b, b.acts.Engine().MemoryUse()["late"].Used)
		require.Contains(b, b.log.String(), "too many are kept", "there is room for one")
		away.Store(false)
		r, err := b.deliver(s)
		require.NoError(b, err)
		require.Equal(b, 1, r.Succeeded)
		require.Len(b, b.sender.Requests(urlA), 2)
	}, memory(1<<20))
}
