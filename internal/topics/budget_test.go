package topics_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/topics"
)

// Followers that are far behind and read slowly hold at most the configured number of batches in memory, and delay no
// other follower.
func TestSlowFollowersHoldABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		h, err := topics.New(topics.Config{Store: store, Logger: slog.New(slog.DiscardHandler), Age: time.Hour, Newest: 100, Batches: 2})
		require.NoError(t, err)
		id := topicID("room")
		for range 10 {
			store.add(id, strings.Repeat("x", 1000))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		slow := make(chan struct{})
		sizes := make(chan int, 10)
		for range 5 {
			go func() {
				for items, err := range h.Follow(ctx, id, hook.Cursor{Next: 1}, quiet) {
					if err != nil {
						return // too few batches are held, and the count below shows it
					}
					sizes <- len(items)
					select {
					case <-slow:
					case <-ctx.Done():
					}
					return
				}
			}()
		}
		synctest.Wait()
		held := map[int]int{}
		for range 5 {
			held[<-sizes]++
		}
		require.Equal(t, map[int]int{10: 2, 1: 3}, held, "two batches, and one message of each of the others")

		// A follower that arrives while all batches are held gets every message, one at a time.
		var all []string
		for items, err := range h.Follow(ctx, id, hook.Cursor{Next: 1}, quiet) {
			require.NoError(t, err)
			require.Len(t, items, 1)
			if all = append(all, shown(items)...); len(all) == 10 {
				break
			}
		}
		require.Len(t, all, 10)
		close(slow)
		synctest.Wait()
		require.Len(t, first(t, h, id, hook.Cursor{Next: 1}).items, 10, "what was held is given back")
	})
}
