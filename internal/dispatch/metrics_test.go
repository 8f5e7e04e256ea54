package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
)

// starts is a dispatch.Metrics that counts calls by their arguments.
type starts struct {
	mu    sync.Mutex
	calls map[string]int
}

func (s *starts) Started(by measure.StartedBy, events int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[fmt.Sprintf("%s %d %v", by, events, err)]++
}

func (s *starts) Woken() { s.Started("woken", 0, nil) }

func (s *starts) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// Each start of a workflow is counted by its cause, and whether it failed.
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
		m := &starts{calls: map[string]int{}}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.Metrics = m })
		starter.Dispatch(o.accept(1)[0])
		require.Equal(t, 1, starter.Queued())
		defer running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })()
		synctest.Wait()
		require.Zero(t, starter.Queued())
		require.Equal(t, map[string]int{"starter 1 away": 1}, m.counts())

		away = false
		sweeper := newSweeper(t, s, o, starter)
		defer running(t, sweeper.Run)()
		pass(10 * time.Second)
		require.Equal(t, map[string]int{"starter 1 away": 1, "sweeper 1 <nil>": 1, "drain 0 <nil>": 1}, m.counts())

		c, l := &workflowServer{}, &overdueStore{}
		l.add(3)
		r := newReconciler(t, c, l, func(c *dispatch.ReconcilerConfig) { c.Metrics = m })
		defer running(t, r.Run)()
		pass(12 * time.Minute)
		require.Equal(t, 3, m.counts()["reconciler 1 <nil>"])
	})
}
