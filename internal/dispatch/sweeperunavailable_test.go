package dispatch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/longtest"
)

// While Temporal is unavailable, a round takes one timeout only and keeps no event from other processes. Temporal is
// asked ever more rarely, and before anything is claimed. When it is back, everything is started.
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
				marks, pages := o.seen()
				require.Equal(t, 1, calls)
				require.Len(t, pages, 1)
				require.Empty(t, marks)
				require.Zero(t, o.claimed())
				require.GreaterOrEqual(t, s.asks(), 25)
				require.LessOrEqual(t, s.asks(), 75)

				back.Store(true)
				pass(time.Minute + 5*time.Second)
				require.Zero(t, o.left())
			})
		})
	}
}

// If Temporal becomes unavailable in the middle of a page, the starts under way time out together, and the other events
// are left for the next round.
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
		pass(17 * time.Second) // the sweep at 6 s, and one timeout of 10 s
		_, started := s.numbers()
		require.Equal(t, 100, started)
		require.Equal(t, 400, o.left(), "what was started is marked")
		require.Zero(t, o.claimed(), "and the rest given back")
	})
}

// An event that Temporal refuses stops none of the others.
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

// A refused event is tried again later, and does not keep the events after it from being started.
func TestSweeperGetsPastWhatIsRefused(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
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
		marks, _ := o.seen()
		require.Empty(t, marks)
	})
}

// A process that alone has lost its connection to Temporal goes on accepting events. The other processes start them,
// and it claims none of theirs.
func TestSweeperOfAProcessWithoutTemporal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		cut := &temporalServer{start: hangs, ready: func(ctx context.Context) error { return hangs(ctx, "") }}
		fine := &temporalServer{}
		defer sweeping(t, cut, o)()
		pass(time.Second) // so this sweeper is always the first
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

// Events that can't be started within their claim are given back, and the sweeper goes on with them: no other process
// starts them meanwhile.
func TestSweeperAndASlowTemporal(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
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
