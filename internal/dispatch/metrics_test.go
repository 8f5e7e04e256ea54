package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

// starts is a dispatch.Metrics that keeps what it is told.
type starts struct {
	mu   sync.Mutex
	told map[string]int
}

func (s *starts) Started(by string, events int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[fmt.Sprintf("%s %d %v", by, events, err)]++
}

func (s *starts) Hurried() { s.Started("hurried", 0, nil) }

func (s *starts) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.told)
}

// Whoever starts a workflow, it is counted with what came of it.
func TestStartsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := true
		s, o := &temporalServer{start: func(context.Context, string) error {
			if away {
				return errors.New("away")
			}
			return nil
		}}, &outbox{lost: []hook.WebhookID{{1}}}
		m := &starts{told: map[string]int{}}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.Metrics = m })
		starter.Dispatch(o.accept(1)[0])
		require.Equal(t, 1, starter.Queued())
		defer running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })()
		synctest.Wait()
		require.Zero(t, starter.Queued())
		require.Equal(t, map[string]int{"starter 1 away": 1}, m.counts())

		away = false
		sweeper := &dispatch.Sweeper{Starter: starter, Backlog: o, Temporal: s, Resetter: s, Health: s, Logger: slog.New(slog.DiscardHandler)}
		defer running(t, sweeper.Run)()
		pass(10 * time.Second)
		require.Equal(t, map[string]int{"starter 1 away": 1, "sweeper 1 <nil>": 1, "drain 0 <nil>": 1}, m.counts())

		c, l := &cluster{}, &ledger{}
		l.add(3)
		r := &dispatch.Reconciler{OverdueStore: l, Temporal: c, Resetter: c, Health: c, Logger: slog.New(slog.DiscardHandler), Metrics: m}
		defer running(t, r.Run)()
		pass(12 * time.Minute)
		require.Equal(t, 3, m.counts()["reconciler 1 <nil>"])
	})
}
