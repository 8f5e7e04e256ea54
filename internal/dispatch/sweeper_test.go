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
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// sweeping runs a sweeper at its defaults: every 2 s, for what is older than 5 s.
func sweeping(t *testing.T, s *temporalServer, o *outbox) (stop func()) {
	t.Helper()
	sweeper := &dispatch.Sweeper{
		Starter: newStarter(t, s, o, nil), Backlog: o, Housekeeping: o, Temporal: s, Resetter: s, Logger: slog.New(slog.DiscardHandler),
	}
	return running(t, sweeper.Run)
}

// Design 3: what was committed and not started within 5 s.
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

// Spec 9, 10: what waits for its webhook is sent, also when the drain went with a crash
// or with Temporal's database; one that runs is found.
func TestSweeperStartsLostDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := hook.WebhookID{1}
		s, o := &temporalServer{}, &outbox{lost: []hook.WebhookID{lost}}
		defer sweeping(t, s, o)()
		pass(2*time.Second + time.Millisecond)
		options := s.started[hook.DrainID(lost)]
		require.Equal(t, lost.String()+"-drain", options.ID)
		require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy)
		require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, options.WorkflowIDReusePolicy)
		require.Equal(t, workflows.DrainInput{WebhookID: lost}, s.inputs[options.ID])
		require.Equal(t, workflows.NameDrain, s.names[options.ID])
		require.Empty(t, s.resets, "it does not wait")
	})
}

// A replay that got lost goes on.
func TestSweeperStartsLostReplays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := hook.ReplayID{1}
		s := &temporalServer{}
		defer sweeping(t, s, &outbox{lostReplays: []hook.ReplayID{lost}})()
		pass(2*time.Second + time.Millisecond)
		options, input := workflows.ReplayStart(lost)
		require.Equal(t, options, s.started[lost.String()])
		require.Equal(t, input, s.inputs[lost.String()])
		require.Equal(t, workflows.NameReplay, s.names[lost.String()])
	})
}

// What a drain waits for may be over: a pause, or an address at which nobody was. Then it
// looks at once.
func TestSweeperWakesDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &temporalServer{waiting: time.Now().Add(5 * time.Minute)}
		defer sweeping(t, s, &outbox{lost: []hook.WebhookID{{1}}})()
		pass(2*time.Second + time.Millisecond)
		require.Equal(t, []string{hook.DrainID(hook.WebhookID{1})}, s.resets)
	})
}

func TestSweeperTakesPageAfterPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o)()
		o.accept(1_200)
		pass(6*time.Second + time.Millisecond)
		require.Zero(t, o.left())
		marks, _, _ := o.seen()
		require.Equal(t, []int{500, 500, 200}, marks)
		require.LessOrEqual(t, s.mostInFlight(), 16)
	})
}

// While Temporal is away, one time-out is enough; what it took is marked.
func TestSweeperAndTemporalAway(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"no answer":   nil,
		"unavailable": serviceerror.NewUnavailable("away"),
		"deadline":    serviceerror.NewDeadlineExceeded("late"),
		"overloaded":  serviceerror.NewResourceExhausted(0, "rps"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := &outbox{}
				s := &temporalServer{start: func(ctx context.Context, id string) error {
					if err == nil {
						return hangs(ctx, id)
					}
					return err
				}}
				defer sweeping(t, s, o)()
				o.accept(1_000)
				pass(7 * time.Second) // the sweep at 6 s
				calls, _ := s.numbers()
				require.Equal(t, 1, calls)
				require.Equal(t, 1_000, o.left())
				marks, _, _ := o.seen()
				require.Empty(t, marks)
			})
		})
	}
}

// Temporal goes away in the middle of a page: those under way time out together,
// and the rest is left for the next sweep.
func TestTemporalGoesAwayWithinASweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &outbox{}, &temporalServer{}
		events := o.accept(500)
		taken := map[string]bool{}
		for _, event := range events[:100] {
			taken[idOf(event)] = true
		}
		s.start = func(ctx context.Context, id string) error {
			if taken[id] {
				return nil
			}
			return hangs(ctx, id)
		}
		defer sweeping(t, s, o)()
		pass(17 * time.Second) // the sweep at 6 s, and one time-out of 10 s
		_, started := s.numbers()
		require.Equal(t, 100, started)
		require.Equal(t, 400, o.left(), "what was started is marked")
	})
}

// An event that Temporal refuses keeps no other back.
func TestSweeperGoesOnPastARefusedStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &outbox{}, &temporalServer{}
		events := o.accept(600)
		s.start = func(_ context.Context, id string) error {
			if id == idOf(events[0]) || id == idOf(events[7]) {
				return serviceerror.NewInvalidArgument("no")
			}
			return nil
		}
		defer sweeping(t, s, o)()
		pass(7 * time.Second)
		require.Equal(t, 2, o.left())
	})
}

// What is refused is tried once in a sweep, and does not keep what comes after it
// from being started.
func TestSweeperGetsPastWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		s := &temporalServer{start: func(context.Context, string) error { return serviceerror.NewInvalidArgument("no") }}
		defer sweeping(t, s, o)()
		o.accept(1_000)
		pass(7 * time.Second)
		marks, lists, _ := o.seen()
		require.Equal(t, 5, lists, "nothing old enough at 2 and 4 s, then two full pages and an empty one")
		calls, _ := s.numbers()
		require.Equal(t, 1_000, calls)
		require.Empty(t, marks)
	})
}

func TestSweeperLeavesItToTheOneWithTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{locked: true}
		defer sweeping(t, s, o)()
		o.accept(10)
		pass(time.Minute)
		calls, _ := s.numbers()
		require.Zero(t, calls)
		_, lists, _ := o.seen()
		require.Zero(t, lists)
	})
}

// A mark that is lost costs a second start, which finds the first.
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
		require.Equal(t, []string{idOf(event), idOf(event)}, s.ids())
		require.Zero(t, o.left())
	})
}

// What a starter of this process has in its queue is left to it, however far it is
// behind; what it could not start is not.
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
		sweeper := &dispatch.Sweeper{Starter: starter, Backlog: o, Housekeeping: o, Temporal: s, Resetter: s, Logger: slog.New(slog.DiscardHandler)}
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

// Events of bursts whose workflow could not be started come together, and are more than
// a page has room for: a sweep goes on past them.
func TestSweeperGoesOnPastBursts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{joined: 400}
		defer sweeping(t, s, o)()
		events := o.accept(1_200)
		pass(6*time.Second + time.Millisecond)
		require.Zero(t, o.left(), "in one sweep")
		require.Len(t, s.ids(), 3)
		require.Equal(t, workflows.BurstID(events[0].EventID), s.ids()[0])
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
	})
}

// The store is kept tidy from the start on, and every ten minutes.
func TestSweeperTidies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o)()
		var tidied []int
		for range 3 {
			pass(time.Second)
			_, _, n := o.seen()
			tidied = append(tidied, n)
			pass(10 * time.Minute)
		}
		require.Equal(t, []int{1, 2, 3}, slices.Compact(tidied))
	})
}

// What could not be done, behind a long query or while the database was away, is done
// a minute later: today's partition may be missing.
func TestSweeperTidiesAgainSoonAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{untidy: hook.Unavailable("the store", nil)}
		defer sweeping(t, s, o)()
		tidied := func() int {
			_, _, n := o.seen()
			return n
		}
		pass(time.Second)
		require.Equal(t, 1, tidied())
		pass(time.Minute)
		require.Equal(t, 2, tidied())
		o.mu.Lock()
		o.untidy = nil
		o.mu.Unlock()
		pass(time.Minute)
		require.Equal(t, 3, tidied())
		pass(9 * time.Minute)
		require.Equal(t, 3, tidied(), "it is tidy")
		pass(time.Minute)
		require.Equal(t, 4, tidied())
	})
}
