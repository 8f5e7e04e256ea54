package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// sweeping runs a sweeper at its defaults: every 2 s, for what is older than 5 s; change, if
// given, alters its starter's configuration.
func sweeping(t *testing.T, s *temporalServer, o *outbox, change ...func(*dispatch.StarterConfig)) (stop func()) {
	t.Helper()
	var starter func(*dispatch.StarterConfig)
	if len(change) > 0 {
		starter = change[0]
	}
	sweeper := &dispatch.Sweeper{
		Starter: newStarter(t, s, o, starter), Backlog: o, Maintenance: o, Temporal: s, Resetter: s, Health: s, Logger: slog.New(slog.DiscardHandler),
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
		options := s.started[contract.DrainID(lost)]
		require.Equal(t, lost.String()+"-drain", options.ID)
		require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy)
		require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, options.WorkflowIDReusePolicy)
		require.Equal(t, contract.DrainInput{WebhookID: lost}, s.inputs[options.ID])
		require.Equal(t, contract.NameDrain, s.names[options.ID])
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
		options, input := workflows.ReplayStart(lost, hook.Label{})
		require.Equal(t, options, s.started[lost.String()])
		require.Equal(t, input, s.inputs[lost.String()])
		require.Equal(t, contract.NameReplay, s.names[lost.String()])
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
		require.Equal(t, []string{contract.DrainID(hook.WebhookID{1})}, s.resets)
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
		marks, pages, _ := o.seen()
		require.Equal(t, []int{5_000, 5_000, 2_000}, marks)
		require.Equal(t, marks, pages)
		require.LessOrEqual(t, s.mostInFlight(), 16)
	})
}

// While Temporal is away, one time-out is enough, and nothing is kept from others that can
// start it. It is asked less and less often, and before anything is claimed; when it is
// back, everything is started.
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
				var back atomic.Bool
				answer := func(ctx context.Context) error {
					switch {
					case back.Load():
						return nil
					case err == nil:
						return hangs(ctx, "")
					default:
						return err
					}
				}
				s := &temporalServer{ready: answer, start: func(ctx context.Context, _ string) error { return answer(ctx) }}
				defer sweeping(t, s, o)()
				o.accept(1_000)
				pass(17 * time.Second) // the sweep at 6 s
				calls, _ := s.numbers()
				require.Equal(t, 1, calls)
				require.Equal(t, 1_000, o.left())
				require.Zero(t, o.claimed(), "others may have them")

				pass(30 * time.Minute)
				calls, _ = s.numbers()
				marks, pages, tidied := o.seen()
				require.Equal(t, 1, calls)
				require.Len(t, pages, 1)
				require.Empty(t, marks)
				require.Zero(t, o.claimed())
				require.Equal(t, 4, tidied, "housekeeping needs no Temporal")
				require.GreaterOrEqual(t, s.asks(), 25)
				require.LessOrEqual(t, s.asks(), 75)

				back.Store(true)
				pass(time.Minute + 2*time.Second)
				require.Zero(t, o.left())
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
		require.Zero(t, o.claimed(), "and the rest given back")
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

// What is refused is tried again in a while, and does not keep what comes after it from
// being started.
func TestSweeperGetsPastWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		s := &temporalServer{start: func(context.Context, string) error { return serviceerror.NewInvalidArgument("no") }}
		defer sweeping(t, s, o)()
		o.accept(6_000)
		for n := range 3 {
			pass(7 * time.Second)
			calls, _ := s.numbers()
			require.Equal(t, 6_000*(n+1), calls)
			pass(25 * time.Second)
		}
		marks, _, _ := o.seen()
		require.Empty(t, marks)
	})
}

// Several sweep at once, and start everything once.
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

// A process that alone has lost its way to Temporal goes on accepting. What it has accepted
// is started by the others, and it keeps nothing from them.
func TestSweeperOfAProcessWithoutTemporal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		cut := &temporalServer{start: hangs, ready: func(ctx context.Context) error { return hangs(ctx, "") }}
		fine := &temporalServer{}
		defer sweeping(t, cut, o)()
		pass(time.Second) // so that it is always the first
		defer sweeping(t, fine, o)()
		for range 60 {
			o.accept(10)
			pass(5 * time.Second)
		}
		_, started := fine.numbers()
		require.GreaterOrEqual(t, started, 580, "but for the youngest")
		asked, _ := cut.numbers()
		require.LessOrEqual(t, asked, 1)
	})
}

// What can't be started within its claim is given back, and gone on with: nobody else
// starts it meanwhile.
func TestSweeperAndASlowTemporal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(2 * time.Second)}, &outbox{}
		defer sweeping(t, s, o)()
		pass(100 * time.Millisecond)
		defer sweeping(t, s, o)()
		events := o.accept(500)
		for range 600 {
			pass(time.Second)
			o.mu.Lock()
			for _, until := range o.claims {
				require.LessOrEqual(t, time.Until(until), 30*time.Second)
			}
			o.mu.Unlock()
		}
		require.Zero(t, o.left())
		require.Len(t, s.ids(), len(events), "once each")
	})
}

// Catching up after ten minutes without Temporal must not take hours: what has no workflow
// shares them, as in a burst, and a page costs a handful of statements.
func TestSweeperSharesWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		defer sweeping(t, s, o, func(c *dispatch.StarterConfig) { c.MaxEvents = 500 })()
		events := o.accept(20_000)
		pass(6*time.Second + time.Millisecond)
		require.Zero(t, o.left())
		require.LessOrEqual(t, len(s.ids()), 40)
		marks, pages, _ := o.seen()
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

// Those of one tenant share, of no more deliveries than one activity does.
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

// A starter of another process may have what a sweeper is about to start, and names it at
// the same time: each starts what it has named.
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

// Each step of a round is by itself: one drain that can't be started, or a list that can't
// be read, keeps nothing else from being done.
func TestSweeperStepsAreByThemselves(t *testing.T) {
	t.Parallel()
	lost := []hook.WebhookID{{1}, {2}, {3}}
	synctest.Test(t, func(t *testing.T) {
		s := &temporalServer{start: func(_ context.Context, id string) error {
			if id == contract.DrainID(lost[0]) {
				return errors.New("refused")
			}
			return nil
		}}
		o := &outbox{lost: lost, lostReplays: []hook.ReplayID{{4}}}
		defer sweeping(t, s, o)()
		event := o.accept(1)[0]
		pass(7 * time.Second)
		require.Subset(t, s.ids(), []string{contract.DrainID(lost[1]), contract.DrainID(lost[2]), hook.ReplayID{4}.String(), idOf(event)})
	})
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{losing: errors.New("no"), lostReplays: []hook.ReplayID{{4}}}
		defer sweeping(t, s, o)()
		event := o.accept(1)[0]
		pass(7 * time.Second)
		require.Subset(t, s.ids(), []string{hook.ReplayID{4}.String(), idOf(event)})
	})
}

// Drains and replays do not wait for a long outbox.
func TestSweeperStepsBetweenPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(100 * time.Millisecond)}, &outbox{}
		defer sweeping(t, s, o)()
		o.accept(10_000) // two minutes' work
		pass(30 * time.Second)
		o.mu.Lock()
		o.lost = []hook.WebhookID{{1}}
		o.mu.Unlock()
		pass(25 * time.Second)
		require.Contains(t, s.ids(), contract.DrainID(hook.WebhookID{1}))
		require.NotZero(t, o.left())
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
		require.Len(t, s.ids(), 1)
		pass(30 * time.Second) // its claim has run out
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
		sweeper := &dispatch.Sweeper{Starter: starter, Backlog: o, Maintenance: o, Temporal: s, Resetter: s, Health: s, Logger: slog.New(slog.DiscardHandler)}
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

// Events of bursts whose workflow could not be started are started together, by the name
// that they have.
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
