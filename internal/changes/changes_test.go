package changes_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"grapnel/internal/changes"
	"grapnel/internal/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store has a list of changes, and keeps each for some seconds, as the real one does.
type store struct {
	mu    sync.Mutex
	list  []dated
	looks int
	err   error
	// clock is how far the store's clock is ahead.
	clock time.Duration
}

type dated struct {
	at time.Time
	hook.Change
}

func (s *store) Changes(_ context.Context, since hook.Snapshot) (c hook.Changes, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	if s.err != nil {
		return c, s.err
	}
	now := time.Now()
	c = hook.Changes{Now: hook.Snapshot(fmt.Sprint(len(s.list))), Begun: now.Add(s.clock), Ended: now.Add(s.clock + time.Millisecond)}
	seen := len(s.list)
	_, _ = fmt.Sscan(string(since), &seen) // none is no look before
	for _, d := range s.list[seen:] {
		if time.Since(d.at) <= 4*time.Second {
			c.List = append(c.List, d.Change)
		}
	}
	return c, nil
}

func (s *store) change(tenant, webhook byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := hook.Change{TenantID: hook.TenantID{tenant}}
	if webhook > 0 {
		c.WebhookID = hook.WebhookID{webhook}
	}
	s.list = append(s.list, dated{time.Now(), c})
}

func (s *store) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *store) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// start runs a Watch over the store. The test must call stop.
func start(t *testing.T, s *store) (w *changes.Watch, stop func()) {
	t.Helper()
	w, err := changes.New(changes.Config{Store: s, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return w, sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func of(tenant, webhook byte) hook.ChangeScope {
	s := hook.ChangeScope{Of: hook.OneTenant(hook.TenantID{tenant})}
	if webhook > 0 {
		s.WebhookID = hook.WebhookID{webhook}
	}
	return s
}

func everybody() hook.ChangeScope { return hook.ChangeScope{Of: hook.TenantFilter{All: true}} }

// ask asks without waiting.
func ask(t *testing.T, w *changes.Watch, scope hook.ChangeScope, c *hook.ChangeCursor) bool {
	t.Helper()
	next, changed, err := w.Wait(t.Context(), scope, *c, 0)
	require.NoError(t, err)
	*c = next
	return changed
}

// pass lets time pass, and everything happen that is due then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// P7: a reader hears of changes in its scope once, and of no others.
func TestScopes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		w, stop := start(t, s)
		defer stop()
		scopes := map[string]hook.ChangeScope{"a": of(1, 0), "a1": of(1, 1), "a2": of(1, 2), "b": of(2, 0), "all": everybody()}
		cursors := map[string]*hook.ChangeCursor{}
		for name, scope := range scopes {
			cursors[name] = &hook.ChangeCursor{}
			require.True(t, ask(t, w, scope, cursors[name]), "everything is new to a new reader")
		}
		hears := func() (names []string) {
			pass(1100 * time.Millisecond)
			for name, scope := range scopes {
				if ask(t, w, scope, cursors[name]) {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names
		}
		require.Empty(t, hears())
		s.change(1, 1)
		require.Equal(t, []string{"a", "a1", "all"}, hears())
		require.Empty(t, hears(), "once")
		s.change(1, 0) // concerns each of its webhooks
		require.Equal(t, []string{"a", "a1", "a2", "all"}, hears())
		s.change(2, 7)
		require.Equal(t, []string{"all", "b"}, hears())
		s.change(0, 0)
		require.Equal(t, []string{"a", "a1", "a2", "all", "b"}, hears())
		require.Empty(t, hears())
	})
}

// P7: a cursor of one process holds in another one, which may look earlier or later: no change is missed.
func TestCursorsOfAnotherProcess(t *testing.T) {
	t.Parallel()
	for _, offset := range []time.Duration{0, 300 * time.Millisecond, 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := &store{}
			first, stopFirst := start(t, s)
			defer stopFirst()
			pass(offset)
			second, stopSecond := start(t, s)
			defer stopSecond()
			var c, mine hook.ChangeCursor
			ask(t, first, of(1, 0), &c)
			ask(t, second, of(1, 0), &mine)
			processes := []*changes.Watch{first, second}
			pass(5 * time.Second)
			for i := range 50 {
				ask(t, processes[i%2], of(1, 0), &c)
				pass(time.Duration(37*i%1000) * time.Millisecond)
				s.change(1, 0)
				pass(1100 * time.Millisecond)
				require.True(t, ask(t, processes[(i+1)%2], of(1, 0), &c), "%d", i)
				pass(2 * time.Second)
				ask(t, processes[i%2], of(1, 0), &c)
				pass(1100 * time.Millisecond)
				require.False(t, ask(t, processes[(i+1)%2], of(1, 0), &c), "%d", i)
			}
		})
	}
}

// P7: a reader that waits is answered when something changes, or when its time is over.
func TestWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		w, stop := start(t, s)
		defer stop()
		var c hook.ChangeCursor
		ask(t, w, of(1, 0), &c)
		begun := time.Now()
		time.AfterFunc(3300*time.Millisecond, func() { s.change(2, 0) })
		time.AfterFunc(10300*time.Millisecond, func() { s.change(1, 0) })
		next, changed, err := w.Wait(t.Context(), of(1, 0), c, 25*time.Second)
		require.NoError(t, err)
		require.True(t, changed)
		require.InDelta(t, 11, time.Since(begun).Seconds(), 0.3)
		begun = time.Now()
		_, changed, err = w.Wait(t.Context(), of(1, 0), next, 25*time.Second)
		require.NoError(t, err)
		require.False(t, changed)
		require.Equal(t, 25*time.Second, time.Since(begun))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err = w.Wait(ctx, of(1, 0), next, 25*time.Second)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// P7: nobody asks, so nobody looks. A reader that comes back after that may have missed something.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		w, stop := start(t, s)
		defer stop()
		pass(time.Minute)
		require.Zero(t, s.looked())
		var c hook.ChangeCursor
		ask(t, w, of(1, 0), &c)
		pass(time.Minute)
		looks := s.looked()
		require.InDelta(t, 31, looks, 2)
		s.change(1, 0)
		pass(time.Hour)
		require.Equal(t, looks, s.looked())
		require.True(t, ask(t, w, of(1, 0), &c), "the change is gone from the store, but not lost")
		require.Equal(t, looks+1, s.looked(), "a reader is not kept waiting for the next second")
		pass(1100 * time.Millisecond)
		require.False(t, ask(t, w, of(1, 0), &c))
	})
}

// P7: while the store is unavailable there is an error, and afterwards everything counts as changed.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		w, stop := start(t, s)
		defer stop()
		var c hook.ChangeCursor
		ask(t, w, of(1, 0), &c)
		s.set(errors.New("gone"))
		pass(10 * time.Second)
		for _, most := range []time.Duration{0, 25 * time.Second} {
			begun := time.Now()
			_, _, err := w.Wait(t.Context(), of(1, 0), c, most)
			require.Equal(t, hook.KindUnavailable, hook.KindOf(err))
			require.LessOrEqual(t, time.Since(begun), 6*time.Second)
		}
		time.AfterFunc(2*time.Second, func() { s.set(nil) })
		require.True(t, ask(t, w, of(1, 0), &c))
		pass(1100 * time.Millisecond)
		require.False(t, ask(t, w, of(1, 0), &c))
	})
}

// P7: old marks are forgotten, and old cursors have missed something, perhaps.
func TestForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		w, stop := start(t, s)
		defer stop()
		var old, c hook.ChangeCursor
		ask(t, w, of(1, 0), &old)
		c = old
		for range 15 * 60 {
			pass(time.Second)
			require.False(t, ask(t, w, of(1, 0), &c))
		}
		require.True(t, ask(t, w, of(1, 0), &old))
	})
}

// P7: the store's clock may jump; nothing is missed, and readers don't ask in a circle.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{-10 * time.Minute, -time.Second, time.Second, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := &store{}
			w, stop := start(t, s)
			defer stop()
			var c hook.ChangeCursor
			ask(t, w, of(1, 0), &c)
			pass(2 * time.Second)
			ask(t, w, of(1, 0), &c)
			s.mu.Lock()
			s.clock = jump
			s.mu.Unlock()
			s.change(1, 0)
			pass(1100 * time.Millisecond)
			require.True(t, ask(t, w, of(1, 0), &c), jump)
			pass(1100 * time.Millisecond)
			require.False(t, ask(t, w, of(1, 0), &c), jump)
			s.change(1, 0)
			pass(1100 * time.Millisecond)
			require.True(t, ask(t, w, of(1, 0), &c), jump)
		})
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]changes.Config{
		"no store": {Logger: log}, "no logger": {Store: &store{}}, "negative": {Store: &store{}, Logger: log, Every: -1},
		"longer than rows are kept": {Store: &store{}, Logger: log, Every: 3 * time.Second},
	} {
		_, err := changes.New(c)
		require.Error(t, err, name)
	}
}
