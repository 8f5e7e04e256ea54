package dispatch_test

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

// slow makes every start take a time.
func slow(d time.Duration) func(context.Context, string) error {
	return func(ctx context.Context, _ string) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func bursting(most int) func(*dispatch.StarterConfig) {
	return func(c *dispatch.StarterConfig) { c.Workers, c.MaxEvents = 1, most }
}

// events returns the events of each started workflow, by the workflow's id.
func (s *temporalServer) events() map[string][]hook.EventID {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]hook.EventID{}
	for id, input := range s.inputs {
		all[id] = input.(contract.DeliverInput).EventIDs
	}
	return all
}

// Events that had to wait share a workflow. Every event is in exactly one workflow.
func TestBurstsShareWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(time.Second)}, &outbox{}
		starter := newStarter(t, s, o, bursting(10))
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		starts := o.accept(25)
		for _, start := range starts {
			starter.Dispatch(start)
		}
		pass(time.Minute)
		require.Zero(t, o.left(), "all are started")
		seen := map[hook.EventID]int{}
		sizes := map[int]int{}
		for id, events := range s.events() {
			sizes[len(events)]++
			if len(events) > 1 {
				require.Equal(t, contract.BurstID(events[0]), id)
				require.Equal(t, events, o.shared[id], "the store was told first")
			} else {
				require.Equal(t, contract.DeliverID(events[0]), id)
			}
			for _, e := range events {
				seen[e]++
			}
		}
		require.Len(t, seen, 25)
		for e, n := range seen {
			require.Equal(t, 1, n, e)
		}
		require.LessOrEqual(t, sizes[10], 2)
		require.GreaterOrEqual(t, len(s.events()), 3)
		require.LessOrEqual(t, len(s.events()), 4)
	})
}

// At ordinary rates each event has a workflow of its own.
func TestEventsThatDoNotWaitHaveTheirOwnWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(10 * time.Millisecond)}, &outbox{}
		starter := newStarter(t, s, o, bursting(200))
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		for range 20 {
			starter.Dispatch(o.accept(1)[0])
			pass(50 * time.Millisecond)
		}
		pass(time.Second)
		require.Len(t, s.events(), 20)
		require.Empty(t, o.shared)
		require.Len(t, o.names, 20, "a sweeper finds the same names")
	})
}

// All events of a burst belong to one tenant, while there are few tenants. A burst has no more deliveries than one activity sends.
func TestBurstsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(time.Second)}, &outbox{}
		starter := newStarter(t, s, o, bursting(200))
		starts := o.accept(9)
		for i := range starts {
			starts[i].Deliveries = 200
			if i%3 == 2 {
				starts[i].TenantID = hook.TenantID{15: 9}
			}
			starter.Dispatch(starts[i])
		}
		tenants := map[hook.EventID]hook.TenantID{}
		for _, start := range starts {
			tenants[start.EventID] = start.TenantID
		}
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		pass(time.Minute)
		require.Zero(t, o.left())
		for _, events := range s.events() {
			require.LessOrEqual(t, len(events), 2)
			for _, e := range events {
				require.Equal(t, tenants[events[0]], tenants[e])
			}
		}
	})
}

// K9: where many tenants have few events each, these share workflows. A tenant with many events keeps workflows of its own.
func TestBurstsOfManyTenants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(time.Second)}, &outbox{}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.Workers, c.MaxEvents = 4, 100 })
		starts, tenants := o.accept(400), map[hook.EventID]hook.TenantID{}
		for i := range starts {
			if i >= 200 { // the first 200 are of one tenant
				starts[i].TenantID = hook.TenantID{1, byte(i), byte(i >> 8)}
			}
			tenants[starts[i].EventID] = starts[i].TenantID
			starter.Dispatch(starts[i])
		}
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		pass(time.Minute)
		require.Zero(t, o.left())
		require.LessOrEqual(t, len(s.events()), 8)
		alone := 0
		for id, events := range s.events() {
			require.LessOrEqual(t, len(events), 100)
			mixed := map[hook.TenantID]bool{}
			for _, e := range events {
				mixed[tenants[e]] = true
			}
			if mixed[starts[0].TenantID] && len(mixed) == 1 {
				alone += len(events)
			}
			if len(mixed) > 1 {
				for _, e := range events {
					require.NotContains(t, id, e.String(), "a tenant does not see another's event in the id")
				}
				require.Equal(t, events, o.shared[id], "the store was told first")
			}
		}
		require.GreaterOrEqual(t, alone, 100)
	})
}

// C6: events that share a workflow have payloads of at most 4 MB together. A larger event has a workflow to itself.
func TestBurstsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(time.Second)}, &outbox{}
		starter := newStarter(t, s, o, bursting(200))
		starts, sizes := o.accept(40), map[hook.EventID]int{}
		for i := range starts {
			starts[i].Bytes = 1 << 20
			if i%10 == 9 {
				starts[i].Bytes = 5 << 20
			}
			sizes[starts[i].EventID] = starts[i].Bytes
			starter.Dispatch(starts[i])
		}
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		pass(time.Minute)
		require.Zero(t, o.left())
		require.Len(t, s.events(), 4+36/4)
		for _, events := range s.events() {
			size := 0
			for _, e := range events {
				size += sizes[e]
			}
			require.True(t, size <= 4<<20 || len(events) == 1)
		}
	})
}

// No event is started under two names. Events that a sweeper has named meanwhile are left to it, and all events are
// left if the store is unavailable.
func TestBurstsLeaveWhatIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		starter := newStarter(t, s, o, bursting(200))
		starts := o.accept(5)
		o.give(starts[0].EventID, "")
		o.give(starts[3].EventID, "another")
		for _, start := range starts {
			starter.Dispatch(start)
		}
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		pass(time.Second)
		require.Equal(t, 2, o.left())
		require.Equal(t, map[string][]hook.EventID{
			contract.BurstID(starts[0].EventID): {starts[1].EventID, starts[2].EventID, starts[4].EventID},
		}, s.events())
	})
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		starter := newStarter(t, s, o, nil)
		taken := o.accept(1)[0]
		o.give(taken.EventID, "swept")
		starter.Dispatch(taken)
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		pass(time.Second)
		require.Equal(t, 1, o.left())
		require.Empty(t, s.events())
	})
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{sharing: errors.New("away")}
		starter := newStarter(t, s, o, bursting(200))
		for _, start := range o.accept(5) {
			starter.Dispatch(start)
		}
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		pass(time.Second)
		require.Equal(t, 5, o.left())
		require.Empty(t, s.events())
	})
}

// If Temporal fails at once, for instance because its namespace is missing, starts are not tried one by one: each event
// would get a workflow of its own, to be started one by one when Temporal is back.
func TestStarterGathersWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		s := &temporalServer{start: func(context.Context, string) error { return serviceerror.NewNamespaceNotFound("default") }}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.MaxEvents = 500 })
		running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		for range 600 {
			starter.Dispatch(o.accept(1)[0])
			pass(10 * time.Millisecond)
		}
		pass(2 * time.Second)
		o.mu.Lock()
		defer o.mu.Unlock()
		workflows := map[string]bool{}
		for id, name := range o.names {
			workflows[cmp.Or(name, id.String())] = true
		}
		require.Len(t, o.names, 600)
		require.LessOrEqual(t, len(workflows), 20)
	})
}
