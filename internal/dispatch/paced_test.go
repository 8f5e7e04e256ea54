package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

// onPace runs a starter of 20 starts a second, with at most 100 events in a workflow, in a bubble.
func onPace(t *testing.T, test func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.StartsPerSecond, c.MaxEvents = 20, 100 })
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		defer stop()
		test(t, s, o, starter, stop)
	})
}

// delivered is the start of an event that was delivered by its first attempts.
func delivered(s hook.Start) hook.Start {
	s.Attempted = true
	for range s.Deliveries {
		s.Ended = append(s.Ended, hook.Delivery{EventID: s.EventID, State: hook.StateSuccess, Attempts: 1})
	}
	return s
}

// Up to the pace each event has a workflow of its own, which has nothing to do (spec V2).
func TestAttemptedEventsHaveWorkflowsOfTheirOwn(t *testing.T) {
	t.Parallel()
	onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, _ func()) {
		for _, start := range o.accept(100) {
			starter.Attempted(delivered(start), time.Time{})
			pass(50 * time.Millisecond)
			input, ok := s.inputs[idOf(start)].(contract.DeliverInput)
			require.True(t, ok, "started under its own id")
			require.Equal(t, start.Deliveries, input.Done.Succeeded)
			require.False(t, input.Inline)
		}
		pass(time.Second)
		require.Zero(t, o.left())
	})
}

// Above the pace events that wait share a workflow. Where many of them do, a start counts twice.
func TestAttemptedEventsShareWorkflows(t *testing.T) {
	t.Parallel()
	for perSecond, starts := range map[int]int{100: 20, 400: 10} {
		t.Run(fmt.Sprint(perSecond), func(t *testing.T) {
			t.Parallel()
			onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, _ func()) {
				const seconds = 10
				for _, start := range o.accept(perSecond * seconds) {
					starter.Attempted(delivered(start), time.Time{})
					pass(time.Second / time.Duration(perSecond))
				}
				pass(time.Second)
				_, started := s.numbers()
				require.InDelta(t, starts*seconds, started, 25, "and the 20 that may come at once")
				require.Zero(t, o.left())
				require.Zero(t, starter.Queued())
			})
		})
	}
}

// A workflow that is full needs no pace: the rate of events has no bound.
func TestFullWorkflowsAreStartedAtOnce(t *testing.T) {
	t.Parallel()
	onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, _ func()) {
		for _, start := range o.accept(9000) {
			starter.Attempted(delivered(start), time.Time{})
		}
		pass(time.Second)
		_, started := s.numbers()
		require.InDelta(t, 90, started, 30)
		require.Zero(t, o.left())
	})
}

// The pace never makes a retry late: its workflow runs a second before it is due (spec V2).
func TestRetryIsBeforeThePace(t *testing.T) {
	t.Parallel()
	onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, _ func()) {
		tenants := o.accept(201)
		retried := tenants[200]
		tenants = tenants[:200]
		for i := range tenants { // each of a tenant of its own, so that they can't share
			tenants[i].TenantID = hook.TenantID{byte(i), 1}
			starter.Attempted(delivered(tenants[i]), time.Time{})
		}
		retried.Attempted, retried.TenantID = true, hook.TenantID{9, 9}
		starter.Attempted(retried, time.Now().Add(3*time.Second))
		pass(1990 * time.Millisecond)
		require.NotContains(t, s.started, idOf(retried), "others wait for longer")
		pass(10 * time.Millisecond)
		require.Contains(t, s.started, idOf(retried))
		require.Nil(t, s.inputs[idOf(retried)].(contract.DeliverInput).Done)
		_, started := s.numbers()
		require.Less(t, started, 100)
		pass(5 * time.Second)
		_, started = s.numbers()
		require.Equal(t, 201, started, "an event waits for five seconds at most")
	})
}

// Events of several tenants, of living owners and of none never share.
func TestAttemptedEventsOfOneKindShare(t *testing.T) {
	t.Parallel()
	onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, _ func()) {
		owner := hook.NewProcessID()
		for i, start := range o.accept(300) {
			start.TenantID = hook.TenantID{byte(i % 3)}
			if i%2 == 0 {
				start.Attempted, start.Owner = true, owner
			} else {
				start = delivered(start)
			}
			starter.Attempted(start, time.Time{})
		}
		pass(6 * time.Second)
		require.Zero(t, o.left())
		events := 0
		for id, input := range s.inputs {
			in := input.(contract.DeliverInput)
			events += len(in.EventIDs)
			require.NotEqual(t, in.Owner == owner, in.Done != nil, id)
		}
		require.Equal(t, 300, events)
	})
}

// While Temporal is unavailable, events gather. They are left to the sweeper when their start fails.
func TestPaceWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, _ func()) {
		s.start = func(context.Context, string) error { return serviceerror.NewUnavailable("away") }
		for _, start := range o.accept(1000) {
			starter.Attempted(delivered(start), time.Time{})
			pass(10 * time.Millisecond)
		}
		pass(10 * time.Second)
		calls, started := s.numbers()
		require.Zero(t, started)
		require.Less(t, calls, 30)
		require.Zero(t, starter.Queued(), "all are left to the sweeper")
		require.Equal(t, 1000, o.left())
	})
}

// A starter that stops starts what waits, without the pace.
func TestPaceEndsWithTheStarter(t *testing.T) {
	t.Parallel()
	onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, stop func()) {
		for i, start := range o.accept(60) {
			start.TenantID = hook.TenantID{byte(i), 1}
			starter.Attempted(delivered(start), time.Time{})
		}
		synctest.Wait()
		require.Positive(t, starter.Queued())
		stop()
		_, started := s.numbers()
		require.Equal(t, 60, started)
		require.Zero(t, o.left())
	})
}

// The sweeper of this process leaves alone the events that are expected, and those that wait for the pace.
func TestSweeperLeavesExpectedEvents(t *testing.T) {
	t.Parallel()
	onPace(t, func(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter, _ func()) {
		sweeper := newSweeper(t, s, o, starter)
		stop := running(t, sweeper.Run)
		defer stop()
		event := o.accept(1)[0]
		starter.Expect(event.EventID)
		pass(time.Minute)
		require.Empty(t, s.ids())
		starter.Forget(event.EventID)
		pass(5 * time.Second)
		require.Equal(t, []string{idOf(event)}, s.ids())
	})
}

// Without a pace every start is made as soon as a place is free.
func TestNoPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.MaxEvents = 100 })
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		defer stop()
		for i, start := range o.accept(50) {
			start.TenantID = hook.TenantID{byte(i), 1}
			starter.Attempted(delivered(start), time.Time{})
		}
		synctest.Wait()
		_, started := s.numbers()
		require.Equal(t, 50, started, fmt.Sprint(s.ids()))
	})
}
