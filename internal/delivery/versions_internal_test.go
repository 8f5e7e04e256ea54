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

// asked is a store that keeps the queries it got.
type asked struct {
	takes   time.Duration
	err     error
	queries [][]hook.WebhookID
}

func (a *asked) versions(_ context.Context, ids []hook.WebhookID) (map[hook.WebhookID]int64, error) {
	a.queries = append(a.queries, ids)
	found := map[hook.WebhookID]int64{}
	for _, id := range ids {
		found[id] = 7
	}
	<-time.After(a.takes)
	return found, a.err
}

// Senders that ask during a query share the next one; a sender that asks about a webhook of the
// current query shares that.
func TestVersionQueriesAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{takes: 20 * time.Millisecond}
		c := newVersionCache(store.versions, time.Now)
		done := make(chan bool)
		ask := func(id byte, version int64) {
			holds, err := c.holds(t.Context(), hook.WebhookID{id}, version, time.Time{})
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
		require.Len(t, store.queries, 2)
		require.Equal(t, []hook.WebhookID{{1}}, store.queries[0])
		require.ElementsMatch(t, []hook.WebhookID{{2}, {3}}, store.queries[1])

		go ask(2, 7)
		require.True(t, <-done)
		require.Len(t, store.queries, 2, "known")
		<-time.After(hook.TrustFor)
		go ask(9, 7)
		require.True(t, <-done)
		require.Len(t, store.queries, 3)
		require.Len(t, c.known, 1, "what is too old is forgotten")
	})
}

// If an answer took longer than hook.TrustFor, the query is repeated, a few times.
func TestVersionQueriesThatTakeLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{takes: hook.TrustFor}
		c := newVersionCache(store.versions, time.Now)
		holds, err := c.holds(t.Context(), hook.WebhookID{1}, 7, time.Time{})
		require.NoError(t, err)
		require.True(t, holds)
		require.Len(t, store.queries, maxChecks)
		require.Empty(t, c.known)
		holds, err = c.holds(t.Context(), hook.WebhookID{1}, 6, time.Time{})
		require.NoError(t, err)
		require.False(t, holds)
	})
}

// All senders that share a query get its error, later senders do not; a sender whose context
// ends does not wait.
func TestVersionQueriesThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{takes: time.Second, err: errors.New("away")}
		c := newVersionCache(store.versions, time.Now)
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := c.holds(gone, hook.WebhookID{1}, 7, time.Time{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = c.holds(t.Context(), hook.WebhookID{2}, 7, time.Time{})
		require.ErrorIs(t, err, store.err)
		store.err, store.takes = nil, 0
		holds, err := c.holds(t.Context(), hook.WebhookID{2}, 7, time.Time{})
		require.NoError(t, err)
		require.True(t, holds)
	})
}

// A query that begins at the instant at which the one before it ends is made once.
func TestVersionQueryAtTheEndOfAnother(t *testing.T) {
	t.Parallel()
	// A clock by which every version is too old at once.
	var ticks atomic.Int64
	c := newVersionCache(func(_ context.Context, ids []hook.WebhookID) (map[hook.WebhookID]int64, error) {
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
				seen, err := c.see(t.Context(), hook.WebhookID{byte(i)})
				assertSeen(t, seen, err)
			}
		})
	}
	group.Wait()
}

// assertSeen checks a version in a goroutine other than the test's.
func assertSeen(t *testing.T, seen seenVersion, err error) {
	t.Helper()
	if err != nil || seen.version != 1 {
		t.Errorf("seen %v: %v", seen, err)
	}
}
