package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

// pacedBench is a starter that runs in a bubble, with 20 starts a second and at most 100 events in a workflow.
type pacedBench struct {
	*testing.T
	server  *temporalServer
	outbox  *outbox
	starter *dispatch.Starter
	stop    func()
}

func onPace(t *testing.T, test func(b *pacedBench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &pacedBench{T: t, server: &temporalServer{}, outbox: &outbox{}}
		b.starter = newStarter(t, b.server, b.outbox, func(c *dispatch.StarterConfig) { c.StartsPerSecond, c.MaxEvents = 20, 100 })
		b.stop = running(t, func(ctx context.Context) error { return b.starter.Run(ctx, time.Second) })
		defer b.stop()
		test(b)
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
	onPace(t, func(b *pacedBench) {
		for _, start := range b.outbox.accept(100) {
			b.starter.Attempted(delivered(start), time.Time{})
			pass(50 * time.Millisecond)
			input, ok := b.server.inputs[idOf(start)].(contract.DeliverInput)
			require.True(b, ok, "started under its own id")
			require.Equal(b, start.Deliveries, input.Done.Succeeded)
			require.False(b, input.Inline)
		}
		pass(time.Second)
		require.Zero(b, b.outbox.left())
	})
}

// Above the pace events that wait share a workflow. Where many of them do, there are few starts.
func TestAttemptedEventsShareWorkflows(t *testing.T) {
	t.Parallel()
	for perSecond, starts := range map[int]int{30: 20, 100: 2, 190: 2, 400: 4, 2000: 20} {
		t.Run(fmt.Sprint(perSecond), func(t *testing.T) {
			t.Parallel()
			onPace(t, func(b *pacedBench) {
				const seconds = 10
				for _, start := range b.outbox.accept(perSecond * seconds) {
					b.starter.Attempted(delivered(start), time.Time{})
					pass(time.Second / time.Duration(perSecond))
				}
				pass(time.Second)
				_, started := b.server.numbers()
				require.InDelta(b, starts*seconds, started, 25, "and the 20 that may come at once; full workflows don't wait")
				require.Zero(b, b.outbox.left())
				require.Zero(b, b.starter.Queued())
			})
		})
	}
}

// A workflow that is full needs no pace: the rate of events has no bound.
func TestFullWorkflowsAreStartedAtOnce(t *testing.T) {
	t.Parallel()
	onPace(t, func(b *pacedBench) {
		for _, start := range b.outbox.accept(9000) {
			b.starter.Attempted(delivered(start), time.Time{})
		}
		pass(time.Second)
		_, started := b.server.numbers()
		require.InDelta(b, 90, started, 30)
		require.Zero(b, b.outbox.left())
	})
}

// The pace never makes a retry late: its workflow runs a second before it is due (spec V2).
func TestRetryIsBeforeThePace(t *testing.T) {
	t.Parallel()
	onPace(t, func(b *pacedBench) {
		others := b.outbox.accept(201)
		retried := others[200]
		others = others[:200]
		for i := range others { // each is large, so that they can't share
			others[i].Bytes = 3 << 20
			b.starter.Attempted(delivered(others[i]), time.Time{})
		}
		retried.Attempted = true
		b.starter.Attempted(retried, time.Now().Add(3*time.Second))
		pass(1990 * time.Millisecond)
		_, began := b.server.inputOf(idOf(retried))
		require.False(b, began, "others wait for longer")
		pass(10 * time.Millisecond)
		input, began := b.server.inputOf(idOf(retried))
		require.True(b, began)
		require.Nil(b, input.(contract.DeliverInput).Done)
		_, started := b.server.numbers()
		require.Less(b, started, 100)
		pass(5 * time.Second)
		_, started = b.server.numbers()
		require.Equal(b, 201, started, "an event waits for five seconds at most")
	})
}

// Events that are delivered, those that wait for a retry, and those of living owners never share; tenants do.
func TestAttemptedEventsOfOneKindShare(t *testing.T) {
	t.Parallel()
	onPace(t, func(b *pacedBench) {
		owner, owned, failed := hook.NewProcessID(), map[hook.EventID]bool{}, map[hook.EventID]bool{}
		for i, start := range b.outbox.accept(300) {
			start.TenantID = hook.TenantID{byte(i)}
			switch i % 3 {
			case 0:
				start.Attempted, start.Owner = true, owner
				owned[start.EventID] = true
			case 1:
				start.Attempted = true
				failed[start.EventID] = true
			default:
				start = delivered(start)
			}
			b.starter.Attempted(start, time.Time{})
		}
		pass(6 * time.Second)
		require.Zero(b, b.outbox.left())
		events := 0
		for id, input := range b.server.inputs {
			in := input.(contract.DeliverInput)
			events += len(in.EventIDs)
			for _, e := range in.EventIDs {
				require.Equal(b, owned[e], in.Owner == owner, id)
				require.Equal(b, !owned[e] && !failed[e], in.Done != nil, id)
				require.Equal(b, len(in.EventIDs) == 1, strings.Contains(id, e.String()), "a tenant does not see another's event in the id")
			}
		}
		require.Equal(b, 300, events)
	})
}

// K3: a thousand tenants need as few workflows as one.
func TestTenantsShareThePace(t *testing.T) {
	t.Parallel()
	for _, tenants := range []int{1, 1000} {
		t.Run(fmt.Sprint(tenants), func(t *testing.T) {
			t.Parallel()
			onPace(t, func(b *pacedBench) {
				for i, start := range b.outbox.accept(4000) {
					start.TenantID = hook.TenantID{byte(i % tenants), byte(i % tenants >> 8), 1}
					b.starter.Attempted(delivered(start), time.Time{})
					pass(2500 * time.Microsecond)
				}
				pass(time.Second)
				_, started := b.server.numbers()
				require.InDelta(b, 40, started, 25)
				require.Zero(b, b.outbox.left())
			})
		})
	}
}

// While Temporal is unavailable, events gather. They are left to the sweeper when their start fails.
func TestPaceWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	onPace(t, func(b *pacedBench) {
		b.server.start = func(context.Context, string) error { return serviceerror.NewUnavailable("away") }
		for _, start := range b.outbox.accept(1000) {
			b.starter.Attempted(delivered(start), time.Time{})
			pass(10 * time.Millisecond)
		}
		pass(10 * time.Second)
		calls, started := b.server.numbers()
		require.Zero(b, started)
		require.Less(b, calls, 30)
		require.Zero(b, b.starter.Queued(), "all are left to the sweeper")
		require.Equal(b, 1000, b.outbox.left())
	})
}

// A starter that stops starts the events that wait, without the pace.
func TestPaceEndsWithTheStarter(t *testing.T) {
	t.Parallel()
	onPace(t, func(b *pacedBench) {
		for i, start := range b.outbox.accept(60) {
			start.TenantID, start.Bytes = hook.TenantID{byte(i), 1}, 3<<20 // so large that they can't share
			b.starter.Attempted(delivered(start), time.Time{})
		}
		synctest.Wait()
		require.Positive(b, b.starter.Queued())
		b.stop()
		_, started := b.server.numbers()
		require.Equal(b, 60, started)
		require.Zero(b, b.outbox.left())
	})
}

// The sweeper of this process leaves alone the events that are expected, and those that wait for the pace.
func TestSweeperLeavesExpectedEvents(t *testing.T) {
	t.Parallel()
	onPace(t, func(b *pacedBench) {
		sweeper := newSweeper(b.T, b.server, b.outbox, b.starter)
		stop := running(b.T, sweeper.Run)
		defer stop()
		event := b.outbox.accept(1)[0]
		b.starter.Expect(event.EventID)
		pass(time.Minute)
		require.Empty(b, b.server.ids())
		b.starter.Forget(event.EventID)
		pass(5 * time.Second)
		require.Equal(b, []string{idOf(event)}, b.server.ids())
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
			start.TenantID, start.Bytes = hook.TenantID{byte(i), 1}, 3<<20 // so large that they can't share
			starter.Attempted(delivered(start), time.Time{})
		}
		synctest.Wait()
		_, started := s.numbers()
		require.Equal(t, 50, started, fmt.Sprint(s.ids()))
	})
}
