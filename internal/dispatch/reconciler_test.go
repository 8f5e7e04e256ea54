package dispatch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// If a delivery is overdue by more than 10 minutes and its workflow is lost, another workflow with the same
// id is started, once.
func TestReconcilerStartsWhatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{}
		defer reconciling(t, c, l)()
		ids := l.add(3)
		shared := outstanding{due: time.Now(), Overdue: hook.Overdue{EventID: hook.EventID{15: 9}, WorkflowID: "x-burst"}}
		l.mu.Lock()
		l.events = append(l.events, shared)
		l.mu.Unlock()
		pass(10 * time.Minute)
		calls, _ := c.numbers()
		require.Zero(t, calls, "not before")
		pass(2 * time.Minute)
		require.ElementsMatch(t, append(ids, "x-burst"), c.ids())
		require.Equal(t, contract.NameDeliver, c.names[ids[0]])
		options := c.started["x-burst"]
		require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, options.WorkflowIDReusePolicy, "one that has ended is no obstacle")
		require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy, "one that runs is")
		pass(time.Hour)
		calls, _ = c.numbers()
		require.Equal(t, 4, calls, "once each")
	})
}

// A workflow that ended with outstanding deliveries is started again 10 minutes after its end. So a workflow that can
// only fail does so no more often.
func TestReconcilerAndEndedWorkflows(t *testing.T) {
	t.Parallel()
	for _, status := range []enumspb.WorkflowExecutionStatus{
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
	} {
		t.Run(status.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, l := &workflowServer{}, &overdueStore{}
				defer reconciling(t, c, l)()
				id := l.add(1)[0]
				pass(30 * time.Second)
				c.put(id, describe(id))
				pass(time.Hour)
				for range 3 {
					c.put(id, ended(id, status))
					calls, _ := c.numbers()
					pass(10 * time.Minute)
					again, _ := c.numbers()
					require.Equal(t, calls, again, "not before 10 minutes")
					pass(time.Minute)
					again, _ = c.numbers()
					require.Equal(t, calls+1, again)
				}
			})
		})
	}
}

// A running workflow is left alone, however long it waits for a worker. If its activity backs off for a long time, as
// after a crash, the activity is woken.
func TestReconcilerWakesWhatWaits(t *testing.T) {
	t.Parallel()
	const scheduled, started = enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, enumspb.PENDING_ACTIVITY_STATE_STARTED
	type pending struct {
		id     string
		state  enumspb.PendingActivityState
		next   time.Duration
		paused bool
	}
	for name, c := range map[string]struct {
		activities []pending
		want       []string
	}{
		"no activity yet":         {nil, nil},
		"waits for a worker":      {[]pending{{"5", scheduled, 0, false}}, nil},
		"is running":              {[]pending{{"5", started, 0, false}}, nil},
		"goes on soon":            {[]pending{{"5", scheduled, 11*time.Minute + 50*time.Second, false}}, nil},
		"waits for hours":         {[]pending{{"5", scheduled, 3 * time.Hour, false}}, []string{"5"}},
		"one of several waits":    {[]pending{{"5", started, 0, false}, {"6", scheduled, 3 * time.Hour, false}}, []string{"6"}},
		"paused in the Web UI":    {[]pending{{"5", scheduled, 3 * time.Hour, true}}, nil},
		"paused, as state has it": {[]pending{{"5", enumspb.PENDING_ACTIVITY_STATE_PAUSED, 3 * time.Hour, false}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, l := &workflowServer{}, &overdueStore{}
				var activities []*workflowpb.PendingActivityInfo
				for _, p := range c.activities {
					a := activity(p.id, p.state, p.next)
					a.Paused = p.paused
					activities = append(activities, a)
				}
				defer reconciling(t, s, l)()
				id := l.add(1)[0]
				s.put(id, describe(id, activities...))
				child := describe(id+"-0", activity("7", scheduled, 3*time.Hour))
				pass(11*time.Minute + 30*time.Second)
				_, resets := s.seen()
				var want []string
				for _, activity := range c.want {
					want = append(want, id+" run-of-"+id+" "+activity)
				}
				require.Equal(t, want, resets)

				// The activities of a large fan-out's child workflows count as those of the parent.
				parent := describe(id)
				parent.PendingChildren = []*workflowpb.PendingChildExecutionInfo{{WorkflowId: id + "-0", RunId: "r"}, {WorkflowId: "gone"}}
				s.put(id, parent)
				s.put(id+"-0", child)
				pass(time.Minute)
				_, resets = s.seen()
				require.Equal(t, append(want, id+"-0 run-of-"+id+"-0 7"), resets)
				calls, _ := s.numbers()
				require.Zero(t, calls, "nothing is started")
			})
		})
	}
}

// While Temporal is unavailable, a round takes one timeout only. When Temporal is back, everything is done.
func TestReconcilerAndTemporalAway(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"no answer":           nil,
		"unavailable":         serviceerror.NewUnavailable("away"),
		"overloaded":          serviceerror.NewResourceExhausted(0, "rps"),
		"without namespace":   serviceerror.NewNamespaceNotFound("default"),
		"deadline on its way": serviceerror.NewDeadlineExceeded("late"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, l := &workflowServer{}, &overdueStore{}
				var away atomic.Bool
				away.Store(true)
				c.asked = func(ctx context.Context, id string) error {
					switch {
					case !away.Load():
						return nil
					case err == nil:
						return hangs(ctx, id)
					default:
						return err
					}
				}
				defer reconciling(t, c, l)()
				ids := l.add(1_000)
				pass(11*time.Minute + 30*time.Second)
				looks, _ := c.seen()
				require.Len(t, looks, 1)
				calls, _ := c.numbers()
				require.Zero(t, calls)
				require.False(t, l.isLeased(), "others may go on")
				away.Store(false)
				pass(2 * time.Minute)
				require.ElementsMatch(t, ids, c.ids())
			})
		})
	}
}

// If Temporal becomes unavailable between a look and a start, the workflow is started later.
func TestTemporalGoesAwayWithinARound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{}
		var away atomic.Bool
		away.Store(true)
		c.start = func(context.Context, string) error {
			if away.Load() {
				return serviceerror.NewUnavailable("away")
			}
			return nil
		}
		defer reconciling(t, c, l)()
		ids := l.add(100)
		pass(11*time.Minute + 30*time.Second)
		calls, _ := c.numbers()
		require.Equal(t, 1, calls)
		away.Store(false)
		pass(time.Minute)
		require.ElementsMatch(t, ids, c.ids())
	})
}

// A workflow that Temporal refuses stops none of the others.
func TestReconcilerGetsPastWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{}
		ids := l.add(1_200)
		c.asked = func(_ context.Context, id string) error {
			if id == ids[0] {
				return serviceerror.NewPermissionDenied("no", "")
			}
			return nil
		}
		c.start = func(_ context.Context, id string) error {
			if id == ids[1] || id == ids[2] {
				return serviceerror.NewInvalidArgument("no")
			}
			return nil
		}
		defer reconciling(t, c, l)()
		pass(11*time.Minute + 30*time.Second)
		require.ElementsMatch(t, ids[3:], c.ids())
	})
}

// A round is bounded, and so are the calls to Temporal about a long backlog of running workflows. Running workflows do
// not keep lost ones behind them from being found. Any number of lost workflows may be restarted, without waiting a
// minute for each round.
func TestReconcilerRoundsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{}
		for _, id := range l.add(5_000) {
			c.put(id, describe(id))
		}
		lost := l.add(10)
		defer reconciling(t, c, l)()
		pass(11*time.Minute + 30*time.Second)
		looks, _ := c.seen()
		require.Len(t, looks, 2_000)
		require.Empty(t, c.ids())
		pass(2 * time.Minute)
		require.ElementsMatch(t, lost, c.ids())
	})
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{}
		ids := l.add(9_000)
		defer reconciling(t, c, l)()
		pass(11*time.Minute + 30*time.Second)
		require.Len(t, c.ids(), len(ids))
		require.LessOrEqual(t, c.mostInFlight(), 8)
	})
}

// Several reconcilers take turns: only one of them works at a time.
func TestReconcilersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{locked: true}
		l.add(10)
		defer reconciling(t, c, l)()
		pass(time.Hour)
		require.Zero(t, l.looked())
		calls, _ := c.numbers()
		require.Zero(t, calls)
	})
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{}
		c.start = slow(time.Second)
		ids := l.add(1_000)
		for range 3 {
			defer reconciling(t, c, l)()
		}
		pass(20 * time.Minute)
		require.ElementsMatch(t, ids, c.ids(), "each once")
		require.LessOrEqual(t, c.mostInFlight(), 8)
	})
}

func TestReconcilerGoesOnAfterTheStoreWasAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{}, &overdueStore{failing: errors.New("away")}
		ids := l.add(10)
		defer reconciling(t, c, l)()
		pass(20 * time.Minute)
		l.mu.Lock()
		l.failing = nil
		l.mu.Unlock()
		pass(time.Minute)
		require.ElementsMatch(t, ids, c.ids())
	})
}

func TestReconcilerStopsInTheMiddle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &workflowServer{asked: hangs}, &overdueStore{}
		l.add(10)
		stop := reconciling(t, c, l)
		pass(11*time.Minute + time.Second)
		begun := time.Now()
		stop()
		require.Zero(t, time.Since(begun), "at once")
	})
}
