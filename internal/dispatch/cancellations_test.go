package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

// endings are cancellations with so many pages left each, claimed in turns.
type endings struct {
	left    map[byte]int
	claimed map[byte]bool
	fails   map[byte]error
	takes   time.Duration
	turns   []byte
}

func (e *endings) ClaimCancellation(context.Context) (c hook.Cancellation, ok bool, err error) {
	for _, id := range []byte{1, 2, 3} {
		if e.left[id] > 0 && !e.claimed[id] && !slices.Contains(e.turns, id) {
			e.claimed[id] = true
			return hook.Cancellation{WebhookID: hook.WebhookID{id}}, true, nil
		}
	}
	return c, false, nil
}

func (e *endings) CancelPage(_ context.Context, c hook.Cancellation) (more bool, err error) {
	<-time.After(e.takes)
	id := c.WebhookID[0]
	e.turns = append(e.turns, id)
	if e.fails[id] != nil {
		return false, e.fails[id]
	}
	e.left[id]--
	return e.left[id] > 0, nil
}

func (e *endings) ReleaseCancellation(_ context.Context, c hook.Cancellation) error {
	e.claimed[c.WebhookID[0]] = false
	return nil
}

func (e *endings) round(ctx context.Context) error {
	e.turns = nil
	return (&dispatch.Cancellations{Store: e, Logger: slog.New(slog.DiscardHandler)}).Round(ctx)
}

// All that is claimed is canceled, and one that fails keeps no other from it.
func TestCancellations(t *testing.T) {
	t.Parallel()
	e := &endings{left: map[byte]int{1: 3, 2: 1, 3: 2}, claimed: map[byte]bool{}, fails: map[byte]error{2: errors.New("stuck")}}
	require.ErrorIs(t, e.round(t.Context()), e.fails[2])
	require.Equal(t, map[byte]int{1: 0, 2: 1, 3: 0}, e.left)
	require.True(t, e.claimed[2], "until it expires")
	require.NoError(t, (*dispatch.Cancellations)(nil).Round(t.Context()))
}

// A round has an end, and what it leaves is anybody's.
func TestCancellationsAreBoundedAndGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endings{left: map[byte]int{1: 25}, claimed: map[byte]bool{}, takes: 100 * time.Millisecond}
		for _, left := range []int{15, 5, 0} {
			require.NoError(t, e.round(t.Context()))
			require.Equal(t, left, e.left[1])
			require.Equal(t, left == 0, e.claimed[1])
		}
		e = &endings{left: map[byte]int{1: 25}, claimed: map[byte]bool{}, takes: 100 * time.Millisecond}
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		require.NoError(t, e.round(ctx))
		require.Equal(t, 22, e.left[1])
		require.False(t, e.claimed[1], "a process that stops gives it back")
	})
}
