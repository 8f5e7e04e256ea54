package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

// sweeping runs a sweeper with its defaults: every 2 s, for events that are older than 5 s. change, if given, alters
// the configuration of its starter.
func sweeping(t *testing.T, s *temporalServer, o *outbox, change ...func(*dispatch.StarterConfig)) (stop func()) {
	t.Helper()
	var starter func(*dispatch.StarterConfig)
	if len(change) > 0 {
		starter = change[0]
	}
	return running(t, newSweeper(t, s, o, newStarter(t, s, o, starter)).Run)
}

// The sweeper starts events that were committed and not started within 5 s.
func TestSweeperStartsWhatWasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o)()
		events := o.accept(3)
		pass(5*time.Second - time.Millisecond)
		calls, _ := s.numbers()
		require.Zero(t, calls, "the starter's turn first")
		pass(2 * time.Second)
		require.Zero(t, o.left())
		for _, event := range events {
			require.Contains(t, s.ids(), idOf(event))
		}
		pass(10 * time.Second)
		calls, _ = s.numbers()
		require.Equal(t, 3, calls, "once each")
	})
}

func TestSweeperTakesPageAfterPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o)()
		o.accept(12_000)
		pass(6*time.Second + time.Millisecond)
		require.Zero(t, o.left())
		marks, pages := o.seen()
		require.Equal(t, []int{5_000, 5_000, 2_000}, marks)
		require.Equal(t, marks, pages)
		require.LessOrEqual(t, s.mostInFlight(), 16)
	})
}

// Several sweepers work at once, and each event is started once.
func TestSweepersShareTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(50 * time.Millisecond)}, &outbox{}
		for range 3 {
			defer sweeping(t, s, o)()
		}
		events := o.accept(12_000)
		pass(3 * time.Minute)
		require.Zero(t, o.left())
		require.Len(t, s.ids(), len(events), "once each")
		require.Greater(t, s.mostInFlight(), 16, "at the same time")
	})
}

// Catching up after ten minutes without Temporal must not take hours: events that have no workflow share one, as in a
// burst, and a page takes a handful of statements.
func TestSweeperSharesWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o, func(c *dispatch.StarterConfig) { c.MaxEvents = 500 })()
		events := o.accept(20_000)
		pass(6*time.Second + time.Millisecond)
		require.Zero(t, o.left())
		require.LessOrEqual(t, len(s.ids()), 40)
		marks, pages := o.seen()
		require.Len(t, pages, 4)
		require.Len(t, marks, 4)
		require.LessOrEqual(t, o.named, 40)
		seen := map[hook.EventID]int{}
		for id, list := range s.events() {
			require.Equal(t, list, o.shared[id], "the store was told first")
			require.Equal(t, len(list), s.inputs[id].(contract.DeliverInput).Deliveries)
			for _, e := range list {
				seen[e]++
			}
		}
		require.Len(t, seen, len(events))
		options := s.started[s.ids()[0]]
		require.Contains(t, options.StaticDetails, targetOf(s.inputs[options.ID].(contract.DeliverInput).EventIDs[0]).WebhookID.String())
	})
}

// Events of one tenant share a workflow, with no more deliveries than one activity sends.
func TestSweeperSharesPerTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o, func(c *dispatch.StarterConfig) { c.MaxEvents = 500 })()
		o.accept(90)
		tenants := map[hook.EventID]hook.TenantID{}
		o.mu.Lock()
		for i := range o.waiting {
			start := &o.waiting[i]
			start.TenantID, start.Deliveries = hook.TenantID{15: byte(i % 3)}, 100
			if i == 7 {
				start.Deliveries = 10_000
			}
			tenants[start.EventID] = start.TenantID
		}
		o.mu.Unlock()
		pass(6*time.Second + time.Millisecond)
		require.Zero(t, o.left())
		require.Len(t, s.events(), 19)
		for id, list := range s.events() {
			require.LessOrEqual(t, len(list), 5)
			for _, e := range list {
				require.Equal(t, tenants[list[0]], tenants[e])
			}
			if len(list) == 1 {
				require.Equal(t, contract.DeliverID(list[0]), id)
			}
		}
	})
}

// The starter of another process may have an event that a sweeper is about to start, and may name its workflow at the
// same time. Each starts the workflow that it has named.
func TestSweepersAgainstStarters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(time.Second)}, &outbox{}
		starter := newStarter(t, s, o, bursting(10))
		defer running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })()
		for range 2 {
			defer sweeping(t, s, o, func(c *dispatch.StarterConfig) { c.MaxEvents = 7 })()
		}
		events := o.accept(500)
		for _, e := range events {
			starter.Dispatch(e)
		}
		pass(5 * time.Minute)
		require.Zero(t, o.left())
		seen := map[hook.EventID]int{}
		for _, list := range s.events() {
			for _, e := range list {
				seen[e]++
			}
		}
		require.Len(t, seen, len(events))
		for e, n := range seen {
			require.Equal(t, 1, n, e)
		}
	})
}

// If the removal from the outbox is lost, the event is started a second time, and its workflow is found running.
func TestSweeperStartsAgainWhatWasNotMarked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fails := 1
		o := &outbox{failing: func(context.Context) error {
			if fails--; fails >= 0 {
				return errors.New("away")
			}
			return nil
		}}
		s := &temporalServer{}
		defer sweeping(t, s, o)()
		event := o.accept(1)[0]
		pass(9 * time.Second)
		require.Len(t, s.ids(), 1)
		pass(30 * time.Second) // the claim has expired
		require.Equal(t, []string{idOf(event), idOf(event)}, s.ids())
		require.Zero(t, o.left())
	})
}

// A sweeper leaves to the starter of its process the events in the starter's queue, however late the starter is. It
// does not leave to it the events that could not be started.
func TestSweeperLeavesTheStarterItsQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		refused := map[string]bool{}
		s.start = func(ctx context.Context, id string) error {
			if refused[id] {
				refused[id] = false
				return errors.New("no")
			}
			return slow(time.Second)(ctx, id)
		}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.Workers = 1 })
		sweeper := newSweeper(t, s, o, starter)
		defer running(t, sweeper.Run)()
		defer running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })()
		events := o.accept(30)
		refused[idOf(events[3])] = true
		for _, e := range events {
			starter.Dispatch(e)
		}
		pass(10 * time.Second)
		require.Less(t, len(s.ids()), 15)
		pass(50 * time.Second)
		require.Zero(t, o.left())
		started := map[string]int{}
		for _, id := range s.ids() {
			started[id]++
		}
		for id, n := range started {
			require.Equal(t, 1, n, id)
		}
		require.Len(t, started, 30)
	})
}

// If the workflow of a burst could not be started, the sweeper starts its events together, under the workflow's
// existing name.
func TestSweeperStartsBursts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o)()
		events := o.accept(1_200)
		for i, e := range events {
			o.give(e.EventID, contract.BurstID(events[i/400*400].EventID))
		}
		pass(6*time.Second + time.Millisecond)
		require.Zero(t, o.left())
		require.Len(t, s.ids(), 3)
		require.Len(t, s.events()[contract.BurstID(events[400].EventID)], 400)
	})
}

func TestSweeperStopsInTheMiddle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: hangs}, &outbox{}
		stop := sweeping(t, s, o)
		o.accept(10)
		pass(7 * time.Second)
		begun := time.Now()
		stop()
		require.Zero(t, time.Since(begun), "at once")
		require.Zero(t, o.claimed(), "others may go on at once")
	})
}
