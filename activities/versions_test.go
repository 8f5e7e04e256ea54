package activities_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/activities"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// changes are the changes that a client may make to a webhook. Once the API has answered,
// nothing is sent to urlA.
var changes = map[string]func(s *storagetest.Store, a hook.WebhookID){
	"deleted": func(s *storagetest.Store, a hook.WebhookID) { s.DeleteWebhook(a) },
	"disabled": func(s *storagetest.Store, a hook.WebhookID) {
		s.ChangeWebhook(a, func(w *hook.Webhook) { w.Active = false })
	},
	"paused": func(s *storagetest.Store, a hook.WebhookID) {
		s.ChangeWebhook(a, func(w *hook.Webhook) { w.Pause(true, time.Now()) })
	},
	"moved": func(s *storagetest.Store, a hook.WebhookID) {
		s.ChangeWebhook(a, func(w *hook.Webhook) { w.URL = urlB })
	},
	"switched off, on": func(s *storagetest.Store, a hook.WebhookID) {
		s.ChangeWebhook(a, func(w *hook.Webhook) { w.Active = false })
		s.ChangeWebhook(a, func(w *hook.Webhook) { w.Active = true })
	},
}

// S5, S15, C3, M3, M4: hundreds of deliveries have been loaded when the webhook changes. After
// the answer, which comes hook.TrustFor after the commit, no request begins with the webhook as
// it was before; and no delivery is lost.
func TestNothingIsSentToAnOldVersion(t *testing.T) {
	t.Parallel()
	const n, committed = 300, 310 * time.Millisecond
	for profile, kind := range map[string]func(*hook.Webhook){"standard": nil, "momento": momento} {
		for name, change := range changes {
			t.Run(profile+" "+name, func(t *testing.T) {
				t.Parallel()
				onBench(t, func(b *bench) {
					a := b.store.AddWebhook(urlA, kind)
					b.sender.Script(urlA, storagetest.Status(200).After(200*time.Millisecond))
					b.sender.Script(urlB, storagetest.Status(200).After(200*time.Millisecond))
					b.during(committed, func() { change(b.store, a) })
					r, err := b.deliver(b.store.Publish("room", payload, many(a, n)...))
					require.NoError(b, err)
					before := b.sender.Times(urlA, b.start)
					for _, at := range before {
						require.Less(b, at, committed+hook.TrustFor)
					}
					states := map[hook.DeliveryState]int{}
					for _, d := range b.store.Deliveries(a) {
						states[d.State]++
						require.LessOrEqual(b, d.Attempts, 1)
					}
					require.Len(b, before, 128, "two rounds of places, loaded and sent before it")
					switch name {
					case "paused":
						require.Equal(b, map[hook.DeliveryState]int{hook.StateSuccess: 128, hook.StatePending: n - 128}, states)
						require.Equal(b, n-128, r.Deferred)
					case "moved":
						require.Equal(b, map[hook.DeliveryState]int{hook.StateSuccess: n}, states)
						require.Len(b, b.sender.Requests(urlB), n-128)
					default:
						require.Equal(b, map[hook.DeliveryState]int{hook.StateSuccess: 128, hook.StateCanceled: n - 128}, states)
					}
				})
			})
		}
	}
}

// Version checks cost next to nothing: one query each time that the known version has become
// too old, for all senders, and none if requests begin soon after they were loaded.
func TestVersionChecksAreFew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind       func(*hook.Webhook)
		n, queries int
	}{
		"at once": {nil, 60, 0}, "messages at once": {momento, 60, 0},
		"throttled": {nil, 640, 9}, "throttled messages": {momento, 640, 0}, // a claim checks the version
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, c.kind)
				b.sender.Script(urlA, storagetest.Status(200).After(90*time.Millisecond))
				var queries, loads atomic.Int32
				b.store.Fail = func(op string) error {
					switch op {
					case storagetest.OpVersions:
						queries.Add(1)
					case storagetest.OpJob:
						loads.Add(1)
					}
					return nil
				}
				r, err := b.deliver(b.store.Publish("room", payload, many(a, c.n)...))
				require.NoError(b, err)
				require.Equal(b, c.n, r.Succeeded)
				require.LessOrEqual(b, int(queries.Load()), c.queries)
				require.Zero(b, loads.Load())
			})
		})
	}
}

// A store that takes longer to answer than hook.TrustFor does not stop the sending.
func TestVersionChecksWithASlowStore(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*hook.Webhook){"standard": nil, "momento": momento} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, kind)
				s := b.store.Publish("room", payload, many(a, 10)...)
				r, err := b.deliver(s)
				require.NoError(b, err)
				require.Equal(b, 10, r.Succeeded)
				require.Len(b, b.sender.Requests(urlA), 10)
			}, slowly(150*time.Millisecond))
		})
	}
}

// slow answers only some time after it has read.
type slow struct {
	*storagetest.Store
	by time.Duration
}

func slowly(by time.Duration) func(*activities.Deps) {
	return func(d *activities.Deps) {
		s := &slow{d.Store.(*storagetest.Store), by}
		d.Store, d.Lookup = s, s
	}
}

func (s *slow) Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error) {
	defer s.wait()
	return s.Store.Outstanding(ctx, events, slice, of)
}

func (s *slow) Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error) {
	defer s.wait()
	return s.Store.Job(ctx, id)
}

func (s *slow) Versions(ctx context.Context, ids []hook.WebhookID) (map[hook.WebhookID]int64, error) {
	defer s.wait()
	return s.Store.Versions(ctx, ids)
}

func (s *slow) ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error) {
	defer s.wait()
	return s.Store.ClaimDeliveries(ctx, list, claim)
}

func (s *slow) wait() { <-time.After(s.by) }

// A request by hand too goes to the webhook as it is now, and is not made if the webhook was
// deleted or disabled.
func TestSendNowChecksTheVersion(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*hook.Webhook){"standard": nil, "momento": momento} {
		t.Run(name+" moved", func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, kind)
				b.store.Publish("room", payload, a)
				b.during(50*time.Millisecond, func() { changes["moved"](b.store, a) })
				o, err := b.sendNow(b.store.Delivery(a))
				require.NoError(b, err)
				require.Equal(b, hook.StateSuccess, o.State)
				require.Empty(b, b.sender.Requests(urlA))
				require.Len(b, b.sender.Requests(urlB), 1)
			}, slowly(120*time.Millisecond))
		})
		t.Run(name+" deleted", func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, kind)
				b.store.Publish("room", payload, a)
				b.during(50*time.Millisecond, func() { b.store.DeleteWebhook(a) })
				_, err := b.sendNow(b.store.Delivery(a))
				require.ErrorContains(b, err, "send: precondition")
				require.Empty(b, b.sender.Requests(urlA))
			}, slowly(120*time.Millisecond))
		})
	}
}

// A revoked delivery whose webhook is active again is sent by hand like a canceled one, and
// never by its schedule.
func TestSendNowOfARevokedDelivery(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*hook.Webhook){"standard": nil, "momento": momento} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, kind)
				s := b.store.Publish("room", payload, a, a)
				changes["switched off, on"](b.store, a)
				b.sender.Script(urlA, storagetest.Status(500), storagetest.Status(200))
				d := b.store.Deliveries(a)[0]
				require.Equal(b, hook.StateCanceled, d.State)
				o, err := b.sendNow(d)
				require.NoError(b, err)
				require.Equal(b, hook.StateFailed, o.State)
				o, err = b.sendNow(d)
				require.NoError(b, err)
				require.Equal(b, hook.StateSuccess, o.State)
				r, err := b.deliver(s)
				require.NoError(b, err)
				require.Equal(b, 1, r.Canceled)
				require.Len(b, b.sender.Requests(urlA), 2)
			})
		})
	}
}
