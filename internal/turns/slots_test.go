package turns_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/turns"
)

// An owner has at most its slots, in the order of arrival; other owners don't wait for it.
func TestSlotsBoundEachOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := turns.NewSlots[string](2)
		var mu sync.Mutex
		var order []int
		var failed error
		now, most := 0, 0
		var all sync.WaitGroup
		for i := range 7 {
			all.Go(func() {
				err := s.Take(t.Context(), "many")
				mu.Lock()
				failed = errors.Join(failed, err)
				order = append(order, i)
				now++
				most = max(most, now)
				mu.Unlock()
				hold := time.Second
				if i == 1 { // so that no two slots are given at the same time
					hold += time.Second / 2
				}
				time.Sleep(hold) //nolint:forbidigo // the bubble's clock
				mu.Lock()
				now--
				mu.Unlock()
				s.Give("many")
			})
			synctest.Wait()
		}
		begin := time.Now()
		require.NoError(t, s.Take(t.Context(), "one"))
		require.Zero(t, time.Since(begin))
		s.Give("one")
		all.Wait()
		require.NoError(t, failed)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6}, order)
		require.Equal(t, 2, most)
		require.Equal(t, 4*time.Second, time.Since(begin))
	})
}

// Someone who stops waiting takes no slot, also if it was given one at that moment.
func TestSlotsOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := turns.NewSlots[string](1)
		require.NoError(t, s.Take(t.Context(), "a"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Take(ctx, "a"), context.DeadlineExceeded)
		s.Give("a")
		for range 200 {
			require.NoError(t, s.Take(t.Context(), "a"))
			ctx, cancel := context.WithCancel(t.Context())
			var both sync.WaitGroup
			both.Go(func() {
				if s.Take(ctx, "a") == nil {
					s.Give("a")
				}
			})
			synctest.Wait()
			both.Go(cancel)
			both.Go(func() { s.Give("a") })
			both.Wait()
		}
		require.NoError(t, s.Take(t.Context(), "a"), "no slot is lost")
	})
}
