package delivery

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

// asked are the looks that a store has got.
type asked struct {
	takes time.Duration
	err   error
	looks [][]hook.WebhookID
}

func (a *asked) versions(_ context.Context, ids []hook.WebhookID) (map[hook.WebhookID]int64, error) {
	a.looks = append(a.looks, ids)
	found := map[hook.WebhookID]int64{}
	for _, id := range ids {
		found[id] = 7
	}
	<-time.After(a.takes)
	return found, a.err
}

// Who asks while a look is under way shares the next one; who asks about the same webhook
// shares that one.
func TestLooksAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{takes: 20 * time.Millisecond}
		l := newVersionCache(store.versions, time.Now)
		done := make(chan bool)
		ask := func(id byte, version int64) {
			holds, err := l.holds(t.Context(), hook.WebhookID{id}, version, time.Time{})
			if err != nil {
				t.Error(err)
			}
			done <- holds == (version == 7)
		}
		go ask(1, 7)
		synctest.Wait()
		for range 50 {
			go ask(1, 7)
			go ask(2, 7)
			go ask(3, 6)
		}
		for range 151 {
			require.True(t, <-done)
		}
		require.Len(t, store.looks, 2)
		require.Equal(t, []hook.WebhookID{{1}}, store.looks[0])
		require.ElementsMatch(t, []hook.WebhookID{{2}, {3}}, store.looks[1])

		go ask(2, 7)
		require.True(t, <-done)
		require.Len(t, store.looks, 2, "known")
		<-time.After(hook.TrustFor)
		go ask(9, 7)
		require.True(t, <-done)
		require.Len(t, store.looks, 3)
		require.Len(t, l.known, 1, "what is too old is forgotten")
	})
}

// An answer that took longer than it may be trusted is asked for again, a few times.
func TestLooksThatTakeLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{takes: hook.TrustFor}
		l := newVersionCache(store.versions, time.Now)
		holds, err := l.holds(t.Context(), hook.WebhookID{1}, 7, time.Time{})
		require.NoError(t, err)
		require.True(t, holds)
		require.Len(t, store.looks, maxChecks)
		require.Empty(t, l.known)
		holds, err = l.holds(t.Context(), hook.WebhookID{1}, 6, time.Time{})
		require.NoError(t, err)
		require.False(t, holds)
	})
}

// An error is everybody's who has asked, and nobody's later; who has gone waits for nothing.
func TestLooksThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{takes: time.Second, err: errors.New("away")}
		l := newVersionCache(store.versions, time.Now)
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := l.holds(gone, hook.WebhookID{1}, 7, time.Time{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = l.holds(t.Context(), hook.WebhookID{2}, 7, time.Time{})
		require.ErrorIs(t, err, store.err)
		store.err, store.takes = nil, 0
		holds, err := l.holds(t.Context(), hook.WebhookID{2}, 7, time.Time{})
		require.NoError(t, err)
		require.True(t, holds)
	})
}

// A look that begins at the instant at which the one before ends is made once.
func TestLooksAtOnceWhenOneEnds(t *testing.T) {
	t.Parallel()
	// A clock on which everything that was found is too old at once.
	var ticks atomic.Int64
	l := newVersionCache(func(_ context.Context, ids []hook.WebhookID) (map[hook.WebhookID]int64, error) {
		found := map[hook.WebhookID]int64{}
		for _, id := range ids {
			found[id] = 1
		}
		return found, nil
	}, func() time.Time { return time.Unix(ticks.Add(1), 0) })
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 20_000 {
				seen, err := l.see(t.Context(), hook.WebhookID{byte(i)})
				assertSeen(t, seen, err)
			}
		})
	}
	group.Wait()
}

// assertSeen is for goroutines that are not the test's own.
func assertSeen(t *testing.T, seen seenVersion, err error) {
	t.Helper()
	if err != nil || seen.version != 1 {
		t.Errorf("seen %v: %v", seen, err)
	}
}
