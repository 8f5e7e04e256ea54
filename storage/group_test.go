package storage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// commits is what a group committed, in batches of ids.
type commits struct {
	mu      sync.Mutex
	batches [][]byte
	// fail decides what becomes of a batch; nil stores it.
	fail func(batch []byte) error
}

func (c *commits) commit(_ context.Context, list []*hook.Accepted) error {
	time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's: what a disk takes
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

// sizes are how many events were stored together.
func (c *commits) sizes() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sizes []int
	for _, batch := range c.batches {
		sizes = append(sizes, len(batch))
	}
	return sizes
}

// idle tells that nothing waits or runs.
func (g *group[T]) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting) == 0 && g.running == 0 && g.weight.rows == 0 && g.weight.bytes == 0
}

// atOnce is how many commits the tests' groups have under way.
const atOnce = 2

func grouped(commit func(context.Context, []*hook.Accepted) error) *group[*hook.Accepted] {
	return &group[*hook.Accepted]{
		do: commit, bytes: func(a *hook.Accepted) int { return len(a.Event.Data) }, together: 500, atOnce: atOnce,
	}
}

// event is the n-th event.
func event(n int, data string) *hook.Accepted {
	return &hook.Accepted{Event: hook.Event{ID: hook.EventID{byte(n)}, Data: []byte(data)}}
}

// One that waits for nobody is committed at once; what comes meanwhile shares the
// next commit.
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
		require.ElementsMatch(t, []int{1, 1, 18}, c.sizes(), "two at once, and one with all the others")
		require.True(t, g.idle())

		begin = time.Now()
		require.NoError(t, g.add(t.Context(), event(21, "x")))
		require.Equal(t, time.Millisecond, time.Since(begin))
	})
}

// One that can't be stored does not take its neighbours along.
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

// A store that is away is not asked again for each of them.
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

// What waits is bounded, in number and in bytes; who comes then is told when to
// come again. Who gives up waiting does not undo it.
func TestGroupIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fits int
		data string
	}{
		"in number": {mostWaiting, "x"},
		"in bytes":  {mostWaitingBytes >> 20, string(make([]byte, 1<<20))},
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
						synctest.Wait() // it is being committed, and waits no more
					}
				}
				synctest.Wait()
				var e *hook.Error
				require.ErrorAs(t, g.add(ctx, event(0, c.data)), &e)
				require.Equal(t, hook.KindUnavailable, e.Kind)
				require.Positive(t, e.RetryAfter)

				giveUp()
				for range c.fits + atOnce {
					require.ErrorIs(t, <-results, context.Canceled)
				}
				close(slow)
				synctest.Wait()
				time.Sleep(time.Minute) //nolint:forbidigo // the bubble's
				synctest.Wait()
				stored := 0
				for _, n := range store.sizes() {
					stored += n
				}
				require.Equal(t, c.fits+atOnce, stored)
				require.True(t, g.idle())
			})
		})
	}
}
