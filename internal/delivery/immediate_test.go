package delivery_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// given is a start that was handed over.
type given struct {
	hook.Start
	// regular says that the workflow makes the first attempts.
	regular bool
	due     time.Time
	at      time.Duration
}

// starts takes the starts of events.
type starts struct {
	begin time.Time

	mu       sync.Mutex
	list     []given
	expected map[hook.EventID]bool
}

func (s *starts) add(g given) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.at = time.Since(s.begin)
	s.list = append(s.list, g)
}

func (s *starts) Dispatch(start hook.Start) { s.add(given{Start: start, regular: true}) }

func (s *starts) Attempted(start hook.Start, due time.Time) { s.add(given{Start: start, due: due}) }

func (s *starts) Expect(e hook.EventID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected[e] = true
}

func (s *starts) Forget(events ...hook.EventID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		delete(s.expected, e)
	}
}

// all returns the starts.
func (s *starts) all() []given {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

// immediateBench is an engine that makes immediate attempts.
type immediateBench struct {
	*bench
	starts     *starts
	heartbeats *heartbeats
	owner      *delivery.Owner
	stopOwner  func()
	// failing returns the error of an operation of the store.
	failing atomic.Pointer[func(op string) error]
}

// fail makes operations of the store fail, or take time.
func (b *immediateBench) fail(f func(op string) error) { b.failing.Store(&f) }

func works(string) error { return nil }

func onImmediate(t *testing.T, test func(b *immediateBench), options ...func(*delivery.Deps)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &immediateBench{
			bench:  &bench{T: t, store: storagetest.NewStore(time.Now), sender: storagetest.NewSender(time.Now)},
			starts: &starts{begin: time.Now(), expected: map[hook.EventID]bool{}}, heartbeats: &heartbeats{},
		}
		b.fail(works)
		b.store.Fail = func(op string) error { return (*b.failing.Load())(op) }
		var err error
		b.owner, err = delivery.NewOwner(b.heartbeats, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = b.owner.Run(ctx) // it never fails
		}()
		b.stopOwner = func() {
			cancel()
			<-ended
		}
		deps := delivery.Deps{
			Store: b.store, Lookup: b.store, DeferredStore: b.store, Drains: b.store, Sender: b.sender,
			Dispatcher: b.starts, Starts: b.starts, Owner: b.owner, Heartbeats: b.heartbeats,
			Schedule: hook.DefaultSchedule(), Logger: slog.New(slog.DiscardHandler),
			Jitter: func(time.Duration) time.Duration { return 0 },
		}
		for _, option := range options {
			option(&deps)
		}
		b.engine, err = delivery.New(&deps)
		require.NoError(t, err)
		defer b.engine.Begin()()
		b.webhook = b.store.AddWebhook(url, nil)
		synctest.Wait()
		test(b)
		b.engine.StopImmediate()
		require.NoError(t, b.engine.AwaitImmediate(t.Context()))
		b.stopOwner()
		require.Empty(t, b.starts.expected)
		for name, use := range b.engine.MemoryUse() {
			require.Zero(t, use.Used, name)
		}
	})
}

// accept publishes an event that this process owns.
func (b *immediateBench) accept(webhooks ...hook.WebhookID) hook.Start {
	if len(webhooks) == 0 {
		webhooks = []hook.WebhookID{b.webhook}
	}
	s := b.store.Publish("user.created", payload, webhooks...)
	s.Owner = b.owner.Current()
	b.engine.Accept(s)
	return s
}

// One start is handed over, with the outcome; the workflow has nothing to do.
func TestImmediateAttemptSucceeds(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		other := b.store.AddWebhook("https://b.example/b", nil)
		b.sender.Script("https://b.example/b", storagetest.Status(200).After(300*time.Millisecond))
		s := b.accept(b.webhook, other)
		synctest.Wait()
		require.Len(b, b.sender.Requests(url), 1)
		require.Empty(b, b.starts.all(), "the outcome is not complete")
		<-time.After(300 * time.Millisecond)
		synctest.Wait()
		list := b.starts.all()
		require.Len(b, list, 1)
		require.Equal(b, s.EventID, list[0].EventID)
		require.True(b, list[0].Attempted)
		require.Zero(b, list[0].Owner)
		require.Zero(b, list[0].due)
		require.Len(b, list[0].Ended, 2)
		require.Equal(b, contract.DeliverResult{Succeeded: 2}, without(contract.Summarize(list[0].Ended)))
	})
}

func without(r contract.DeliverResult) contract.DeliverResult {
	r.Outcomes = nil
	return r
}

// The workflow makes the second attempt. The start says by when it must run.
func TestImmediateAttemptFails(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.sender.Script(url, storagetest.Status(503))
		b.accept()
		<-time.After(time.Hour)
		require.Len(b, b.sender.Requests(url), 1, "only the first attempt is immediate")
		list := b.starts.all()
		require.Len(b, list, 1)
		require.True(b, list[0].Attempted)
		require.Empty(b, list[0].Ended)
		require.Equal(b, 30*time.Second, list[0].due.Sub(b.starts.begin))
		require.Equal(b, 1, b.store.Delivery(b.webhook).Attempts)
	})
}

// A workflow that starts while the first attempt is under way waits for it.
func TestActivityJoinsTheImmediateAttempt(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.sender.Script(url, storagetest.Status(200).After(4*time.Second))
		s := b.accept()
		<-time.After(1500 * time.Millisecond)
		list := b.starts.all()
		require.Len(b, list, 1)
		require.Equal(b, time.Second, list[0].at)
		require.Equal(b, b.owner.Current(), list[0].Owner)
		in := contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: 1, Of: 1, Owner: list[0].Owner}
		report, err := b.engine.Deliver(b.Context(), b.window(), in)
		require.NoError(b, err)
		require.Empty(b, report.Outstanding)
		require.Equal(b, 4*time.Second, time.Since(b.starts.begin))
		require.Len(b, b.sender.Requests(url), 1)
		require.Len(b, b.starts.all(), 1, "the workflow was started before")
	})
}

// Inline attempts don't wait: the activity does.
func TestInlineAttemptLeavesTheImmediateOne(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.sender.Script(url, storagetest.Status(200).After(4*time.Second))
		s := b.accept()
		synctest.Wait()
		in := contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: 1, Of: 1}
		_, reason, err := b.engine.DeliverInline(b.Context(), b.window(), in)
		require.NoError(b, err)
		require.NotEmpty(b, reason)
		require.Len(b, b.sender.Requests(url), 1)
	})
}

// An activity does not wait for longer than it may run.
func TestActivityAsksAgainForALongAttempt(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.sender.Script(url, storagetest.Status(200).After(25*time.Second))
		s := b.accept()
		in := contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: 1, Of: 1}
		report, err := b.engine.Deliver(b.Context(), b.window(), in)
		require.NoError(b, err)
		require.Len(b, report.Outstanding, 1)
		require.Positive(b, report.NextIn)
		require.Less(b, time.Since(b.starts.begin), 25*time.Second)
		<-time.After(25 * time.Second)
		require.Len(b, b.sender.Requests(url), 1)
	})
}

// A worker leaves first attempts to their owner while that lives, and makes them when it is dead or its time is over.
func TestActivityOfAnotherProcess(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		other := hook.NewProcessID()
		require.NoError(b, b.heartbeats.Heartbeat(b.Context(), other))
		in := b.publish()
		in.Owner = other
		report, err := b.engine.Deliver(b.Context(), b.window(), in)
		require.NoError(b, err)
		require.Len(b, report.Outstanding, 1)
		require.Equal(b, "its first attempt is under way since the accept", report.Outstanding[0].Error)
		require.Equal(b, 1500*time.Millisecond, report.NextIn)
		require.Empty(b, b.sender.Requests(url))
		b.heartbeats.set(errors.New("unavailable"), 0)
		_, err = b.engine.Deliver(b.Context(), b.window(), in)
		require.Error(b, err, "nobody knows whether the owner lives")
		require.Empty(b, b.sender.Requests(url))
		b.heartbeats.set(nil, 0)
		<-time.After(hook.DeadAfter)
		report, err = b.engine.Deliver(b.Context(), b.window(), in)
		require.NoError(b, err)
		require.Empty(b, report.Outstanding)
		require.Len(b, b.sender.Requests(url), 1)

		require.NoError(b, b.heartbeats.Heartbeat(b.Context(), other))
		late := b.publish()
		late.Owner = other
		report, err = b.engine.Deliver(b.Context(), b.window().Waited(time.Minute), late)
		require.NoError(b, err)
		require.Empty(b, report.Outstanding)
		require.Len(b, b.sender.Requests(url), 2)
	})
}

// A process whose lease has lapsed begins no attempt: not of an event that it has accepted before, nor of one that it was
// about to send. The workflow makes them.
func TestLapsedOwnerSendsNothing(t *testing.T) {
	t.Parallel()
	for name, momento := range map[string]bool{"at least once": false, "at most once": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onImmediate(t, func(b *immediateBench) {
				w := b.store.AddWebhook("https://m.example/m", func(w *hook.Webhook) {
					if momento {
						w.Profile = hook.ProfileMomento
					}
				})
				b.fail(func(op string) error {
					if op == storagetest.OpOutstanding {
						b.heartbeats.set(errors.New("unavailable"), 0)
						<-time.After(hook.FenceAfter) // the process stands still between loading and sending
					}
					return nil
				})
				s := b.accept(w)
				<-time.After(hook.FenceAfter)
				b.heartbeats.set(nil, 0)
				<-time.After(time.Minute)
				require.Empty(b, b.sender.Requests("https://m.example/m"))
				require.NotZero(b, b.owner.Current(), "the process has a lease again")
				list := b.starts.all()
				require.NotEmpty(b, list)
				require.True(b, list[len(list)-1].regular || list[0].Owner == s.Owner)
				b.fail(works)
				report, err := b.engine.Deliver(b.Context(), b.window(), contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: 1, Of: 1})
				require.NoError(b, err)
				require.Empty(b, report.Outstanding)
				require.Len(b, b.sender.Requests("https://m.example/m"), 1)
			})
		})
	}
}

// An event whose lease has lapsed while it waited is not sent with one of the next lease: they have no run in common.
func TestLapsedEventIsNotSentUnderTheNextLease(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.fail(func(op string) error {
			if op == storagetest.OpOutstanding {
				<-time.After(9 * time.Second)
			}
			return nil
		})
		const newURL = "https://new.example/"
		next := b.store.AddWebhook(newURL, nil)
		accept := func(tenant byte, w hook.WebhookID) {
			s := b.store.Publish("user.created", payload, w)
			s.TenantID, s.Owner = hook.TenantID{tenant}, b.owner.Current()
			b.engine.Accept(s)
		}
		accept(1, next) // its load keeps the others waiting
		synctest.Wait()
		accept(2, b.webhook)
		accept(1, next)
		before := b.owner.Current()
		b.heartbeats.set(errors.New("unavailable"), 0)
		<-time.After(hook.FenceAfter)
		b.heartbeats.set(nil, 0)
		<-time.After(2 * hook.HeartbeatEvery)
		require.NotEqual(b, before, b.owner.Current())
		accept(3, next)
		b.fail(works)
		<-time.After(time.Minute)
		require.Empty(b, b.sender.Requests(url))
		require.Len(b, b.sender.Requests(newURL), 1, "the event of the new lease")
	})
}

// Without a lease, with one that is another's, and after the process has begun to stop, the workflow makes the first
// attempts.
func TestRegularWay(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.engine.Accept(b.store.Publish("user.created", payload, b.webhook))
		other := b.store.Publish("user.created", payload, b.webhook)
		other.Owner = hook.NewProcessID()
		b.engine.Accept(other)
		b.engine.StopImmediate()
		b.accept()
		synctest.Wait()
		require.Empty(b, b.sender.Requests(url))
		list := b.starts.all()
		require.Len(b, list, 3)
		for _, g := range list {
			require.True(b, g.regular)
			require.False(b, g.Attempted)
			require.Zero(b, g.Owner)
		}
	})
}

// What can't be loaded or recorded goes the regular way. Nothing is started twice.
func TestImmediateAttemptsWithoutAStore(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]string{"load": storagetest.OpOutstanding, "record": storagetest.OpRecord} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onImmediate(t, func(b *immediateBench) {
				b.fail(func(o string) error {
					if o == op {
						return hook.Unavailable("the store", errors.New("down"))
					}
					return nil
				})
				b.accept()
				<-time.After(2 * time.Minute)
				list := b.starts.all()
				require.Len(b, list, 1)
				require.Empty(b, list[0].Ended)
				b.fail(works)
				<-time.After(20 * time.Minute) // until late attempts are recorded
			})
		})
	}
}

// A delivery that is deferred ends its event's workflow.
func TestImmediateAttemptIsDeferred(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		w := b.store.AddWebhook("https://c.example/c", func(w *hook.Webhook) {
			now := time.Now()
			w.PausedAt = &now
		})
		b.accept(w)
		synctest.Wait()
		list := b.starts.all()
		require.Len(b, list, 1)
		require.Len(b, list[0].Ended, 1)
		require.Equal(b, 1, contract.Summarize(list[0].Ended).Deferred)
		require.Equal(b, []hook.WebhookID{w}, b.store.Drained())
	})
}

// One receiver that hangs holds up no other event.
func TestImmediateAttemptsBesideOneThatHangs(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		slow := b.store.AddWebhook("https://slow.example/", nil)
		b.sender.Script("https://slow.example/", storagetest.Hang(), storagetest.Hang(), storagetest.Hang())
		for range 3 {
			b.accept(slow)
		}
		for range 100 {
			b.accept()
		}
		<-time.After(100 * time.Millisecond) // they gather
		synctest.Wait()
		require.Len(b, b.sender.Requests(url), 100)
		require.Len(b, b.starts.all(), 100)
	})
}

// More events than may wait go the regular way; each goes one way.
func TestImmediateAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.fail(func(op string) error {
			if op == storagetest.OpOutstanding {
				<-time.After(2 * time.Second)
			}
			return nil
		})
		const events = 9_500
		for range events {
			b.accept()
		}
		<-time.After(10 * time.Minute)
		seen, regular := map[hook.EventID]int{}, 0
		for _, g := range b.starts.all() {
			if seen[g.EventID]++; g.regular {
				regular++
			}
		}
		require.Len(b, seen, events)
		require.Positive(b, regular)
		require.Less(b, regular, events-4000)
	})
}

// When the process stops, the requests in flight end, and everything else goes the regular way.
func TestStopImmediate(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		b.sender.Script(url, storagetest.Status(200).After(500*time.Millisecond))
		b.accept()
		synctest.Wait()
		b.fail(func(op string) error {
			if op == storagetest.OpOutstanding {
				<-time.After(100 * time.Millisecond)
			}
			return nil
		})
		b.accept()
		synctest.Wait()
		b.engine.StopImmediate()
		within, cancel := context.WithTimeout(b.Context(), 200*time.Millisecond)
		defer cancel()
		require.ErrorIs(b, b.engine.AwaitImmediate(within), context.DeadlineExceeded)
		require.NoError(b, b.engine.AwaitImmediate(b.Context()))
		require.Len(b, b.sender.Requests(url), 1)
		list := b.starts.all()
		require.Len(b, list, 2)
		require.True(b, list[0].regular)
		require.Len(b, list[1].Ended, 1)
	})
}

// acceptFresh publishes an event with what the accept has read, as the store returns it.
func (b *immediateBench) acceptFresh(w hook.WebhookID) {
	b.Helper()
	begin := time.Now()
	s := b.store.Publish("user.created", payload, w)
	jobs, err := b.store.Outstanding(b.Context(), []hook.EventID{s.EventID}, 0, 1)
	require.NoError(b, err)
	s.Owner = b.owner.Current()
	s.Fresh = &hook.Fresh{Event: jobs[0].Event, ReadAt: begin, Deliveries: []hook.FreshDelivery{{
		ID: jobs[0].Delivery.ID, WebhookID: w, Version: jobs[0].Webhook.Version, Health: jobs[0].Webhook.Health,
	}}}
	b.engine.Accept(s)
	synctest.Wait()
}

// Nothing is loaded for an event whose webhooks were loaded before and have not changed since.
func TestImmediateAttemptWithoutALoad(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		var loads atomic.Int32
		loaded := func(w hook.WebhookID) int {
			b.fail(func(op string) error {
				if op == storagetest.OpOutstanding {
					loads.Add(1)
				}
				return nil
			})
			loads.Store(0)
			b.acceptFresh(w)
			return int(loads.Load()) - 1 // acceptFresh itself loads
		}
		require.Equal(b, 1, loaded(b.webhook), "unknown")
		require.Zero(b, loaded(b.webhook))
		require.Zero(b, loaded(b.webhook))
		b.store.ChangeWebhook(b.webhook, func(w *hook.Webhook) { w.URL = "https://new.example/" })
		require.Equal(b, 1, loaded(b.webhook), "changed")
		require.Len(b, b.sender.Requests(url), 3)
		require.Len(b, b.sender.Requests("https://new.example/"), 1)
		require.Zero(b, loaded(b.webhook))
		<-time.After(9 * time.Minute)
		require.Zero(b, loaded(b.webhook))
		<-time.After(time.Minute + time.Second)
		require.Equal(b, 1, loaded(b.webhook), "kept for ten minutes")

		signed := b.store.AddWebhook("https://signed.example/", func(w *hook.Webhook) { w.Schemes = []hook.Scheme{hook.SchemeV1a} })
		require.Equal(b, 1, loaded(signed))
		require.Equal(b, 1, loaded(signed), "the tenant's keys may have changed")
		require.Len(b, b.starts.all(), 9)
		for _, g := range b.starts.all() {
			require.Len(b, g.Ended, 1)
			require.Nil(b, g.Fresh, "a start that waits keeps no payload")
		}
	})
}

// K9: one tenant's flood gathers into large loads, and another tenant's event waits for none of it.
func TestFloodDoesNotDelayAnotherTenant(t *testing.T) {
	t.Parallel()
	onImmediate(t, func(b *immediateBench) {
		busy, quiet := hook.TenantID{1}, hook.TenantID{2}
		b.fail(func(op string) error {
			if op == storagetest.OpOutstanding {
				<-time.After(time.Millisecond)
			}
			return nil
		})
		publish := func(tenant hook.TenantID, w hook.WebhookID) {
			s := b.store.Publish("user.created", payload, w)
			s.Owner, s.TenantID = b.owner.Current(), tenant
			b.engine.Accept(s)
		}
		const quietURL = "https://quiet.example/"
		other := b.store.AddWebhook(quietURL, nil)
		for i := range 50 {
			for range 40 {
				publish(busy, b.webhook)
				<-time.After(500 * time.Microsecond)
			}
			publish(quiet, other)
			begin := time.Now()
			for len(b.sender.Requests(quietURL)) <= i {
				<-time.After(100 * time.Microsecond)
			}
			require.LessOrEqual(b, time.Since(begin), 3*time.Millisecond)
		}
	})
}
