package activities_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// large returns canonical JSON of n bytes.
func large(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }

// environmentTimeout is the timeout of activities in the test environment.
const environmentTimeout = 10 * time.Minute

// memory sets the number of bytes that the process may have. A quarter of them is for payloads,
// a quarter for requests of 24 KiB, and a sixteenth for jobs of 4 KiB.
func memory(n int64) func(*activities.Deps) {
	return func(d *activities.Deps) { d.Memory = n }
}

// account counts the bytes of payloads and bodies in memory: from the time when they are loaded
// or made until their request has ended. It is a Sender and a Lookup.
type account struct {
	*storagetest.Store
	sender *storagetest.Sender

	mu          sync.Mutex
	alive, most int
}

func (a *account) add(n int) {
	a.alive += n
	a.most = max(a.most, a.alive)
}

func (a *account) Payloads(ctx context.Context, events []hook.EventID) (map[hook.EventID][]byte, error) {
	payloads, err := a.Store.Payloads(ctx, events)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, data := range payloads {
		a.add(len(data))
	}
	return payloads, err
}

func (a *account) Send(ctx context.Context, r hook.Request) (hook.Attempt, error) {
	a.mu.Lock()
	a.add(len(r.Body))
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.add(-2 * len(r.Body)) // the body, and the payload, which is no longer than the body
	}()
	return a.sender.Send(ctx, r)
}

// accounted puts an account between the engine and its lookup and sender.
func accounted(a *account) func(*activities.Deps) {
	return func(d *activities.Deps) {
		a.Store, a.sender = d.Store.(*storagetest.Store), d.Sender.(*storagetest.Sender)
		d.Lookup, d.Sender = a, a
	}
}

// deliverer runs Deliver, concurrently with others, until nothing is outstanding.
func (b *bench) deliverer(in contract.SliceInput) error {
	for range 1000 {
		env := newEnvironment(b.Context())
		env.RegisterActivityWithOptions(b.acts.Deliver, activity.RegisterOptions{Name: "Deliver"})
		_, err := env.ExecuteActivity(b.acts.Deliver, in)
		if err == nil {
			return nil
		}
		<-time.After(b.next(err))
	}
	return fmt.Errorf("it never ends")
}

// C6: however large the backlog is that a worker finds, the payloads that it holds stay within
// its budget, and every delivery arrives whole, once.
func TestBacklogOfLargePayloadsStaysWithinTheBudget(t *testing.T) {
	t.Parallel()
	var counted account
	onBench(t, func(b *bench) {
		const size, budget = 50 << 10, 1 << 20
		hooks := make([]hook.WebhookID, 20)
		for i := range hooks {
			url := fmt.Sprintf("https://%d.example/", i)
			hooks[i] = b.store.AddWebhook(url, nil)
			b.sender.Script(url, storagetest.Status(200).After(time.Duration(i+1)*100*time.Millisecond))
		}
		var wg sync.WaitGroup
		errs := make(chan error, 40)
		for range 20 {
			in := contract.SliceInput{Of: 1}
			for i := range 10 {
				s := b.store.Publish(eventType, large(size), hooks[i], hooks[i+10])
				in.EventIDs = append(in.EventIDs, s.EventID)
				in.Deliveries += s.Deliveries
			}
			wg.Go(func() { errs <- b.deliverer(in) })
		}
		wg.Wait()
		for _, id := range hooks {
			wg.Go(func() {
				_, err := b.drainAll(id) // the deliveries that were deferred
				errs <- err
			})
		}
		wg.Wait()
		for range 40 {
			require.NoError(b, <-errs)
		}
		sent := 0
		for i := range hooks {
			for _, r := range b.sender.Requests(fmt.Sprintf("https://%d.example/", i)) {
				require.Greater(b, len(r.Body), size)
				sent++
			}
		}
		require.Equal(b, 400, sent, "each once")
		require.LessOrEqual(b, counted.most, budget)
		require.Greater(b, counted.most, budget/2, "it is made use of")
		for name, use := range b.acts.Engine().MemoryUse() {
			require.Zero(b, use.Used, name)
			require.Zero(b, use.Waiting, name)
		}
	}, memory(4<<20), accounted(&counted))
}

// A payload that is larger than the whole budget is sent alone.
func TestPayloadOverTheBudget(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Status(200).After(second))
		b.sender.Script(urlB, storagetest.Status(200).After(second))
		r, err := b.deliver(b.store.Publish(eventType, large(1<<20), a, c))
		require.NoError(b, err)
		require.Equal(b, 2, r.Succeeded)
		require.Equal(b, 2*second, time.Since(b.start), "one after the other")
		require.Equal(b, [][]int{{1 << 20}, {1 << 20}}, b.store.Loads())
	}, memory(1<<20))
}

// The payloads of requests that begin together are loaded with one statement, and requests
// share their event's payload.
func TestPayloadsAreLoadedTogether(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		one, two := b.store.Publish(eventType, large(5000), a, c), b.store.Publish(eventType, large(6000), a, c)
		small := b.store.Publish(eventType, payload, a)
		_, err := b.env.ExecuteActivity(b.acts.Deliver, contract.SliceInput{
			EventIDs: []hook.EventID{one.EventID, two.EventID, small.EventID}, Deliveries: 5, Of: 1,
		})
		require.NoError(b, err)
		require.Len(b, b.store.Loads(), 1)
		require.ElementsMatch(b, []int{5000, 6000}, b.store.Loads()[0])
		require.Len(b, b.sender.Requests(urlA), 3)
		require.Contains(b, string(b.sender.Requests(urlB)[0].Body), "xxx")
	})
}

// Each attempt loads the payload again: between attempts it is not held.
func TestPayloadIsLoadedForEachAttempt(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(500), storagetest.Status(200))
		s := b.store.Publish(eventType, large(5000), a)
		_, err := b.deliver(s)
		b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Zero(b, b.acts.Engine().MemoryUse()["payloads"].Used)
		<-time.After(30 * second)
		_, err = b.deliver(s)
		require.NoError(b, err)
		list := b.sender.Requests(urlA)
		require.Equal(b, list[0].Body, list[1].Body)
		require.Len(b, b.store.Loads(), 2)
	})
}

// A delivery that finds no room in time is not sent, uses up no attempt, and is tried again; an
// at-most-once message is not even claimed.
func TestNoRoomForAPayload(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		slow := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(200).After(environmentTimeout-2*second))
		atMostOnce := b.store.AddWebhook(urlB, func(w *hook.Webhook) { w.Profile, w.Cache = hook.ProfileMomento, "c" })
		other := b.store.AddWebhook(urlC, func(w *hook.Webhook) { w.Timeout = 30 * second })
		var wg sync.WaitGroup
		held := b.store.Publish(eventType, large(1<<20), slow)
		wg.Go(func() {
			_ = b.deliverer(contract.SliceInput{EventIDs: []hook.EventID{held.EventID}, Deliveries: 1, Of: 1})
		})
		<-time.After(100 * time.Millisecond)
		s := b.store.Publish(eventType, large(60<<10), atMostOnce, other)
		_, err := b.deliver(s)
		require.Contains(b, b.asked(err, contract.ErrorOutstanding, 5*second), "2 deliveries waiting for memory")
		require.Empty(b, b.sender.Requests(urlB))
		require.Empty(b, b.sender.Requests(urlC))
		for _, id := range []hook.WebhookID{atMostOnce, other} {
			require.Equal(b, hook.StatePending, b.store.Delivery(id).State)
			require.Zero(b, b.store.Delivery(id).Attempts)
		}
		require.Equal(b, environmentTimeout-10*second+100*time.Millisecond, time.Since(b.start), "as long as a request of 5 s could still be made")
		wg.Wait()
		r, err := b.deliver(s)
		require.NoError(b, err)
		require.Equal(b, 2, r.Succeeded)
	}, memory(4<<20))
}

// A local activity does not wait for memory: it leaves its deliveries to the regular activity.
func TestInlineAttemptWaitsForNoBudget(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{"for jobs": payload, "for payloads": large(100 << 10)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				// 64 KiB are room for 16 jobs, and 256 KiB for one of these payloads.
				n := 1
				if data == payload {
					n = 16
				}
				a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
				b.sender.Script(urlA, storagetest.Status(200).After(10*second))
				var wg sync.WaitGroup
				held := b.store.Publish(eventType, data, many(a, n)...)
				wg.Go(func() {
					_ = b.deliverer(contract.SliceInput{EventIDs: []hook.EventID{held.EventID}, Deliveries: n, Of: 1})
				})
				<-time.After(second)
				began := time.Now()
				r := b.inline(b.store.Publish(eventType, data, c))
				require.False(b, r.Done)
				require.NotEmpty(b, r.Reason)
				require.Equal(b, began, time.Now())
				require.Empty(b, b.sender.Requests(urlB))
				wg.Wait()
			}, memory(1<<20))
		})
	}
}

// Runs wait for memory for jobs in turn, and ask for another run when there is no room in time.
func TestNoRoomForJobs(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		// 64 KiB are room for 16 jobs, and 256 KiB for 10 requests.
		b.sender.Script(urlA, append(outcomes(storagetest.Status(200).After(environmentTimeout-5*second), 10), storagetest.Status(200))...)
		var wg sync.WaitGroup
		held := b.store.Publish(eventType, payload, many(a, 16)...)
		wg.Go(func() {
			_ = b.deliverer(contract.SliceInput{EventIDs: []hook.EventID{held.EventID}, Deliveries: 16, Of: 1})
		})
		<-time.After(second)
		s := b.store.Publish(eventType, payload, c)
		_, err := b.deliver(s)
		require.Contains(b, b.asked(err, contract.ErrorOutstanding, 5*second), "1 deliveries waiting for memory of the worker")
		require.Equal(b, environmentTimeout-34*second, time.Since(b.start), "as long as a request of 30 s could still be made")
		_, err = b.deliver(s)
		require.NoError(b, err)
		require.Equal(b, environmentTimeout-5*second, time.Since(b.start), "as soon as there is room")
		wg.Wait()
		require.Len(b, b.sender.Requests(urlA), 16)
	}, memory(1<<20))
}

// A slow endpoint holds no more than its part of the budget, and the memory of deliveries that
// have ended is given back before their run is over.
func TestSlowEndpointLeavesTheBudgetToOthers(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		slow, quick := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Status(200).After(10*second))
		s := b.store.Publish(eventType, large(20<<10), many(slow, 64)...)
		mixed := b.store.Publish(eventType, payload, append(many(quick, 63), slow)...)
		var wg sync.WaitGroup
		for _, start := range []hook.Start{s, mixed} {
			wg.Go(func() {
				_ = b.deliverer(contract.SliceInput{EventIDs: []hook.EventID{start.EventID}, Deliveries: start.Deliveries, Of: 1})
			})
		}
		<-time.After(2 * second)
		use := b.acts.Engine().MemoryUse()
		require.Positive(b, use["payloads"].Used)
		require.LessOrEqual(b, use["payloads"].Used, use["payloads"].Size/8+60<<10)
		require.Less(b, use["jobs"].Used, use["jobs"].Size/2)
		require.Zero(b, use["jobs"].Waiting)
		_, err := b.deliver(b.store.Publish(eventType, large(20<<10), quick))
		require.NoError(b, err)
		require.Equal(b, 2*second, time.Since(b.start))
		wg.Wait()
	}, memory(8<<20))
}

// Results keep their memory until they are recorded, so that they cannot pile up.
func TestUnrecordedResultsAreBounded(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		hooks := make([]hook.WebhookID, 40)
		for i := range hooks {
			hooks[i] = b.store.AddWebhook(fmt.Sprintf("https://%d.example/", i), nil)
		}
		var away atomic.Bool
		away.Store(true)
		b.store.Fail = func(op string) error {
			if op == storagetest.OpRecord && away.Load() {
				return hook.Unavailable("the store", nil)
			}
			return nil
		}
		sent := func() (n int) {
			for i := range hooks {
				n += len(b.sender.Requests(fmt.Sprintf("https://%d.example/", i)))
			}
			return n
		}
		b.during(5*second, func() {
			require.Equal(b, 21, sent(), "512 KiB are room for so many")
			away.Store(false)
		})
		r, err := b.deliver(b.store.Publish(eventType, payload, hooks...))
		require.NoError(b, err)
		require.Equal(b, 40, r.Succeeded)
		require.Equal(b, 40, sent())
	}, memory(2<<20))
}

// When a worker stops, deliveries that wait for memory are left to another worker at once.
func TestStopEndsWaitingForTheBudget(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Status(200).After(10*second))
		var wg sync.WaitGroup
		held := b.store.Publish(eventType, large(1<<20), a)
		wg.Go(func() {
			_ = b.deliverer(contract.SliceInput{EventIDs: []hook.EventID{held.EventID}, Deliveries: 1, Of: 1})
		})
		b.during(2*second, func() { b.stop(context.Canceled) })
		<-time.After(second)
		_, err := b.deliver(b.store.Publish(eventType, large(1<<20), c))
		b.asked(err, contract.ErrorOurs, second)
		require.Equal(b, 2*second, time.Since(b.start))
		require.Empty(b, b.sender.Requests(urlB))
		wg.Wait()
		for name, use := range b.acts.Engine().MemoryUse() {
			require.Zero(b, use.Used, name)
		}
	}, memory(4<<20))
}

// A request by hand sends a large payload whole too.
func TestSendNowLargePayload(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		o, err := b.sendNow(b.store.Test(eventType, large(50<<10), a))
		require.NoError(b, err)
		require.Equal(b, hook.StateSuccess, o.State)
		require.Greater(b, len(b.sender.Requests(urlA)[0].Body), 50<<10)
		require.Zero(b, b.acts.Engine().MemoryUse()["payloads"].Used)
	})
}
