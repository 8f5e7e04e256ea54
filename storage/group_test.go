package storage

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// commits keeps the batches of ids that a group has committed.
type commits struct {
	mu      sync.Mutex
	batches [][]byte
	// fail, if not nil, returns an error for a batch that must not be stored.
	fail func(batch []byte) error
}

func (c *commits) commit(_ context.Context, list []*hook.Accepted) error {
	time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's clock: the time of a commit
	var batch []byte
	for _, a := range list {
		batch = append(batch, a.Event.ID[0])
	}
	if c.fail != nil {
		if err := c.fail(batch); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = append(c.batches, batch)
	return nil
}

// sizes returns how many events each batch had.
func (c *commits) sizes() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sizes []int
	for _, batch := range c.batches {
		sizes = append(sizes, len(batch))
	}
	return sizes
}

// idle reports whether nothing is queued or running.
func (g *group[T]) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.lanes {
		if l := &g.lanes[i]; len(l.calls) != 0 || l.running != 0 || l.rows != 0 || l.bytes != 0 {
			return false
		}
	}
	return len(g.lockQueues.turns) == 0 && !g.lockQueues.running && g.lockQueues.members == 0 && g.lockQueues.bytes == 0
}

// atOnce is how many commits a test's group runs at the same time.
const atOnce = 1

func grouped(commit func(context.Context, []*hook.Accepted) error) *group[*hook.Accepted] {
	return &group[*hook.Accepted]{
		do: commit, bytes: func(a *hook.Accepted) int { return len(a.Event.Data) }, maxWeight: 500, maxRunners: atOnce,
	}
}

// event is the n-th event.
func event(n int, data string) *hook.Accepted {
	return &hook.Accepted{Event: hook.Event{ID: hook.EventID{byte(n)}, Data: []byte(data)}}
}

// An item is committed at once if no commit is running. Items that arrive during a commit share the next one.
func TestGroupSharesCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &commits{}
		g := grouped(c.commit)
		begin := time.Now()
		results := make(chan error, 20)
		for i := range 20 {
			go func() { results <- g.add(t.Context(), event(i, "x")) }()
			synctest.Wait()
		}
		for range 20 {
			require.NoError(t, <-results)
		}
		require.Equal(t, 2*time.Millisecond, time.Since(begin))
		synctest.Wait()
		require.Equal(t, []int{1, 19}, c.sizes(), "one, and one with all the others")
		require.True(t, g.idle())

		begin = time.Now()
		require.NoError(t, g.add(t.Context(), event(21, "x")))
		require.Equal(t, time.Millisecond, time.Since(begin))
	})
}

// A commit that is blocked, by a lock for instance, delays later items by no more than runnerDelay.
func TestGroupGoesRoundWhatIsHeldUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &commits{}
		held := make(chan struct{})
		g := grouped(func(ctx context.Context, list []*hook.Accepted) error {
			if list[0].Event.ID[0] == 0 {
				<-held
			}
			return c.commit(ctx, list)
		})
		g.maxRunners = 2
		stuck := make(chan error, 1)
		go func() { stuck <- g.add(t.Context(), event(0, "x")) }()
		synctest.Wait()
		for n := range 3 {
			begin := time.Now()
			require.NoError(t, g.add(t.Context(), event(n+1, "x")))
			require.Equal(t, runnerDelay+time.Millisecond, time.Since(begin))
		}
		close(held)
		require.NoError(t, <-stuck)
		synctest.Wait()
		require.True(t, g.idle())
	})
}

// An item that can't be stored does not fail the items of its batch.
func TestGroupKeepsItsMembersApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		c := &commits{fail: func(batch []byte) error {
			for _, id := range batch {
				if id%5 == 4 {
					return refused
				}
			}
			return nil
		}}
		g := grouped(c.commit)
		results := make([]chan error, 20)
		for i := range results {
			results[i] = make(chan error, 1)
			go func() { results[i] <- g.add(t.Context(), event(i, "x")) }()
		}
		for i, result := range results {
			if i%5 == 4 {
				require.ErrorIs(t, <-result, refused)
			} else {
				require.NoError(t, <-result)
			}
		}
	})
}

// While the store is unavailable, a batch is tried once, not once more for each of its items.
func TestGroupWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		c := &commits{fail: func([]byte) error {
			asked.Add(1)
			return hook.Unavailable("the store", errors.New("away"))
		}}
		g := grouped(c.commit)
		results := make(chan error, 50)
		for i := range 50 {
			go func() { results <- g.add(t.Context(), event(i, "x")) }()
		}
		for range 50 {
			require.Equal(t, hook.KindUnavailable, hook.KindOf(<-results))
		}
		require.LessOrEqual(t, asked.Load(), int64(4))
	})
}

// The queue is limited in number and in bytes. An item beyond that is refused with a time to try again. If a
// caller gives up, its running commit is not undone and its queued items are removed.
func TestGroupIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fits int
		data string
	}{
		"in number": {maxQueued, "x"},
		"in bytes":  {maxQueuedBytes >> 20, string(make([]byte, 1<<20))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &commits{}
				slow := make(chan struct{})
				g := grouped(func(ctx context.Context, list []*hook.Accepted) error {
					<-slow
					return store.commit(ctx, list)
				})
				ctx, giveUp := context.WithCancel(t.Context())
				results := make(chan error, c.fits+atOnce)
				for i := range c.fits + atOnce {
					go func() { results <- g.add(ctx, event(i, c.data)) }()
					if i < atOnce {
						synctest.Wait() // it is being committed and no longer in the queue
					}
				}
				synctest.Wait()
				var e *hook.Error
				require.ErrorAs(t, g.add(ctx, event(0, c.data)), &e)
				require.Equal(t, hook.KindUnavailable, e.Kind)
				require.Positive(t, e.RetryAfter)

				giveUp()
				for range c.fits + atOnce {
					err := <-results
					require.ErrorIs(t, err, context.Canceled)
					require.Equal(t, hook.KindUnavailable, hook.KindOf(err))
				}
				one := make(chan error, 1)
				go func() { one <- g.add(t.Context(), event(0, c.data)) }()
				synctest.Wait()
				close(slow)
				require.NoError(t, <-one, "there is room again")
				time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
				synctest.Wait()
				stored := 0
				for _, n := range store.sizes() {
					stored += n
				}
				require.Equal(t, atOnce+1, stored, "what was being committed, and the one that came afterwards")
				require.True(t, g.idle())
			})
		})
	}
}

// list returns events in the order of their numbers.
func list(from, to int) []*hook.Accepted {
	var events []*hook.Accepted
	for n := from; n < to; n++ {
		events = append(events, event(n, "x"))
	}
	return events
}

// Items that are added together are queued together, in order, and share statements with others. Each has its own
// result at its index.
func TestGroupAddsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		c := &commits{fail: func(batch []byte) error {
			if slices.Contains(batch, 7) {
				return refused
			}
			return nil
		}}
		g := grouped(c.commit)
		g.maxWeight = 5
		errs := g.addAll(t.Context(), list(0, 12))
		require.Len(t, errs, 12)
		for i, err := range errs {
			if i == 7 {
				require.ErrorIs(t, err, refused)
			} else {
				require.NoError(t, err)
			}
		}
		require.Equal(t, [][]byte{{0, 1, 2, 3, 4}, {5}, {6}, {8}, {9}, {10, 11}}, c.batches, "those beside the bad one are done alone")

		require.Empty(t, g.addAll(t.Context(), nil))
		synctest.Wait()
		require.True(t, g.idle())
	})
}

// While the store is unavailable, each item of a list gets that error.
func TestGroupAddsAllWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &commits{fail: func([]byte) error { return hook.Unavailable("the store", errors.New("away")) }}
		g := grouped(c.commit)
		errs := g.addAll(t.Context(), list(0, 3))
		require.Len(t, errs, 3)
		for _, err := range errs {
			require.Equal(t, hook.KindUnavailable, hook.KindOf(err))
		}
	})
}

// A statement has a limited number of rows. An item with more rows gets a statement of its own.
// A group that lingers begins a statement at most every 25 ms, unless many rows wait. Nobody waits longer than that, and
// an item that comes alone does not wait at all.
func TestGroupLingers(t *testing.T) {
	t.Parallel()
	const linger, commit = 25 * time.Millisecond, time.Millisecond
	for name, c := range map[string]struct {
		every      time.Duration
		items      int
		statements int
		longest    time.Duration
	}{
		"one now and then": {50 * time.Millisecond, 20, 20, commit},
		"some":             {10 * time.Millisecond, 60, 25, linger + commit},
		"more":             {2 * time.Millisecond, 250, 21, linger + commit},
		"many at once":     {0, 250, 2, 2*commit + time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var made commits
				g := grouped(made.commit)
				g.linger = linger
				var adding sync.WaitGroup
				var longest, failed atomic.Int64
				for n := range c.items {
					adding.Go(func() {
						begin := time.Now()
						if g.add(t.Context(), event(n, "")) != nil {
							failed.Add(1)
						}
						for took := int64(time.Since(begin)); ; {
							if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
								return
							}
						}
					})
					time.Sleep(c.every) //nolint:forbidigo // the bubble's clock
				}
				adding.Wait()
				require.Zero(t, failed.Load())
				require.InDelta(t, c.statements, len(made.sizes()), 2)
				require.LessOrEqual(t, time.Duration(longest.Load()), c.longest)
				require.True(t, g.idle())
			})
		})
	}
}

func TestGroupCountsRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &commits{}
		g := grouped(c.commit)
		g.rows = func(a *hook.Accepted) int { return len(a.Event.Data) }
		g.maxWeight = 10
		var items []*hook.Accepted
		for n, rows := range []int{4, 6, 1, 9, 1, 25, 10, 3, 0, 8} {
			items = append(items, event(n, strings.Repeat("x", rows)))
		}
		require.NoError(t, errors.Join(g.addAll(t.Context(), items)...))
		require.Equal(t, [][]byte{{0, 1}, {2, 3}, {4}, {5}, {6}, {7, 8}, {9}}, c.batches)
		synctest.Wait()
		require.True(t, g.idle())
	})
}

// A list of items is queued as a whole or refused as a whole. An empty queue takes a list of any size: otherwise a
// large list could never be accepted.
func TestGroupTakesAllOrNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fits int // items that fit into the queue next to one other
		data string
	}{
		"in number": {maxQueued - 1, ""},
		"in bytes":  {maxQueuedBytes>>20 - 1, string(make([]byte, 1<<20))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, slow := &commits{}, make(chan struct{})
				g := grouped(func(ctx context.Context, list []*hook.Accepted) error {
					<-slow
					return store.commit(ctx, list)
				})
				add := func(n int) chan error {
					items := make([]*hook.Accepted, n)
					for i := range items {
						items[i] = event(i, c.data)
					}
					result := make(chan error, 1)
					go func() { result <- errors.Join(g.addAll(t.Context(), items)...) }()
					synctest.Wait()
					return result
				}
				var taken []chan error
				total := 0
				for _, n := range []int{1, 1, c.fits} { // one is running, the second is queued
					taken = append(taken, add(n))
					total += n
				}
				require.Equal(t, hook.KindUnavailable, hook.KindOf(<-add(1)), "the queue is full")
				close(slow)
				for _, result := range taken {
					require.NoError(t, <-result)
				}

				slow = make(chan struct{})
				taken = nil
				for _, n := range []int{1, 1} {
					taken = append(taken, add(n))
					total += n
				}
				require.Equal(t, hook.KindUnavailable, hook.KindOf(<-add(c.fits+1)), "all but one would fit")
				taken = append(taken, add(c.fits)) // the refused ones took no room
				total += c.fits
				close(slow)
				for _, result := range taken {
					require.NoError(t, <-result)
				}
				synctest.Wait()
				require.True(t, g.idle())

				slow = make(chan struct{})
				taken = []chan error{add(1), add(3 * (c.fits + 1))} // nothing is queued, although one is running
				total += 1 + 3*(c.fits+1)
				require.Equal(t, hook.KindUnavailable, hook.KindOf(<-add(1)))
				close(slow)
				for _, result := range taken {
					require.NoError(t, <-result)
				}
				stored := 0
				for _, n := range store.sizes() {
					stored += n
				}
				require.Equal(t, total, stored)
				synctest.Wait()
				require.True(t, g.idle())
			})
		})
	}
}

// When the caller's time is up, the finished items of its list have their results. Running items are not undone,
// and queued ones are not started.
func TestGroupAddsAllForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &commits{}
		g := grouped(c.commit)
		g.maxWeight = 1
		ctx, giveUp := context.WithTimeout(t.Context(), 1500*time.Microsecond) // ends while the second is stored
		defer giveUp()
		errs := g.addAll(ctx, list(0, 4))
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, hook.KindUnavailable, hook.KindOf(err))
		}
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
		require.Equal(t, []int{1, 1}, c.sizes())
		synctest.Wait()
		require.True(t, g.idle())
	})
}

// turn is an item of a tenant.
type turn struct{ tenant byte }

// fairGroup returns a group that knows tenants, and whose statements take a millisecond for each item. largest is the
// most items of a statement.
func fairGroup(largest *atomic.Int32) *group[*turn] {
	return &group[*turn]{
		maxWeight: 5_000, maxRunners: 2,
		tenant: func(t *turn) hook.TenantID { return hook.TenantID{t.tenant} },
		do: func(_ context.Context, items []*turn) error {
			for n := int32(len(items)); ; {
				old := largest.Load()
				if n <= old || largest.CompareAndSwap(old, n) {
					break
				}
			}
			time.Sleep(time.Duration(len(items)) * time.Millisecond) //nolint:forbidigo // the bubble's clock
			return nil
		},
	}
}

// turnsOf returns items of a tenant.
func turnsOf(tenant byte, n int) []*turn {
	items := make([]*turn, n)
	for i := range items {
		items[i] = &turn{tenant: tenant}
	}
	return items
}

// K9: a tenant that publishes as fast as it can delays the others by no more than small statements.
func TestGroupIsFairToTenants(t *testing.T) {
	t.Parallel()
	for name, alone := range map[string]bool{"in large calls": false, "in calls of one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var largest atomic.Int32
				g := fairGroup(&largest)
				var flood sync.WaitGroup
				for range 8 {
					flood.Go(func() {
						for range 10 {
							items := turnsOf(1, 100)
							if !alone {
								g.addAll(t.Context(), items)
								continue
							}
							var each sync.WaitGroup
							for _, item := range items {
								each.Go(func() { g.addAll(t.Context(), []*turn{item}) })
							}
							each.Wait()
						}
					})
				}
				worst := time.Duration(0)
				for range 40 {
					time.Sleep(37 * time.Millisecond) //nolint:forbidigo // the bubble's clock
					begin := time.Now()
					require.NoError(t, g.add(t.Context(), &turn{tenant: 2}))
					worst = max(worst, time.Since(begin))
				}
				flood.Wait()
				require.Greater(t, largest.Load(), int32(300), "alone, the flood shares large statements")
				require.LessOrEqual(t, worst, 2*(maxTenantRows+1)*time.Millisecond)
				require.True(t, g.idle())
			})
		})
	}
}

// K9: tenants with an item each share a statement, and a busy one has at most maxTenantRows of its rows.
func TestGroupSharesStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		calls [][]*turn
		want  []map[byte]int
	}{
		{"many tenants", eachTurn(2, 200), []map[byte]int{evenly(2, 100), evenly(102, 100)}},
		{"a busy one among them", append([][]*turn{turnsOf(1, 200)}, eachTurn(2, 5)...), []map[byte]int{merged(evenly(2, 5), 1, maxTenantRows), {1: 200 - maxTenantRows}}},
		{"one alone", [][]*turn{turnsOf(1, 300)}, []map[byte]int{{1: 300}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, statementsOf(c.calls))
		})
	}
}

// statementsOf returns how many items of each tenant each statement has, if the calls wait when the first begins.
func statementsOf(calls [][]*turn) (list []map[byte]int) {
	g := fairGroup(new(atomic.Int32))
	g.maxRunners = 0 // no statement beside another
	l := &g.lanes[0]
	l.running = 1
	for _, items := range calls {
		members := make([]*member[*turn], 0, len(items))
		for _, item := range items {
			members = append(members, &member[*turn]{item: item, done: make(chan error, 1)})
		}
		g.enter(members)
	}
	for {
		batch, _ := g.take(l, false)
		if len(batch) == 0 {
			return list
		}
		of := map[byte]int{}
		for _, m := range batch {
			of[m.item.tenant]++
		}
		list = append(list, of)
	}
}

// eachTurn returns calls with one item each, of n tenants from first on.
func eachTurn(first byte, n int) (calls [][]*turn) {
	for i := range n {
		calls = append(calls, turnsOf(first+byte(i), 1))
	}
	return calls
}

// evenly returns one item for each of n tenants from first on.
func evenly(first byte, n int) map[byte]int {
	of := map[byte]int{}
	for i := range n {
		of[first+byte(i)] = 1
	}
	return of
}

func merged(of map[byte]int, tenant byte, n int) map[byte]int {
	of[tenant] = n
	return of
}

// Several tenants with large calls go on beside each other, and nothing is left behind.
func TestGroupWithSeveralFloods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var largest atomic.Int32
		g := fairGroup(&largest)
		var floods sync.WaitGroup
		ended := make([]time.Duration, 5)
		begin := time.Now()
		for tenant := range ended {
			floods.Go(func() {
				for range 5 {
					for _, err := range g.addAll(t.Context(), turnsOf(byte(tenant), 200)) {
						require.NoError(t, err)
					}
				}
				ended[tenant] = time.Since(begin)
			})
		}
		floods.Wait()
		require.True(t, g.idle())
		require.Less(t, slices.Max(ended), 2*slices.Min(ended), "they share evenly")
	})
}

// One call's items are done in their order, however long their statements take: no other call waits behind them.
func TestGroupKeepsTheOrderOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		g := &group[*turn]{maxWeight: 1, maxRunners: 2, do: func(context.Context, []*turn) error {
			require.EqualValues(t, 1, running.Add(1))
			defer running.Add(-1)
			time.Sleep(3 * runnerDelay) //nolint:forbidigo // the bubble's clock
			return nil
		}}
		for _, err := range g.addAll(t.Context(), turnsOf(1, 10)) {
			require.NoError(t, err)
		}
	})
}
