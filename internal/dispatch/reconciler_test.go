package dispatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

// cluster is a Temporal with workflows, as far as the reconciler sees.
type cluster struct {
	temporalServer
	// asked, if set, decides what comes of looking at a workflow.
	asked func(ctx context.Context, id string) error

	mu sync.Mutex
	// running are descriptions of workflows, by id; what is started joins them.
	running map[string]*workflowservice.DescribeWorkflowExecutionResponse
	looks   []string
	resets  []string
}

func (c *cluster) DescribeWorkflowExecution(ctx context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	c.mu.Lock()
	c.looks = append(c.looks, id)
	d := c.running[id]
	c.mu.Unlock()
	if c.asked != nil {
		if err := c.asked(ctx, id); err != nil {
			return nil, err
		}
	}
	if d == nil {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	return d, nil
}

func (c *cluster) ResetActivity(_ context.Context, workflowID, runID, activityID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resets = append(c.resets, fmt.Sprint(workflowID, " ", runID, " ", activityID))
	return nil
}

func (c *cluster) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	r, err := c.temporalServer.ExecuteWorkflow(ctx, o, workflow, args...)
	if err == nil {
		c.put(o.ID, describe(o.ID))
	}
	return r, err
}

func (c *cluster) put(id string, d *workflowservice.DescribeWorkflowExecutionResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[string]*workflowservice.DescribeWorkflowExecutionResponse{}
	}
	c.running[id] = d
}

func (c *cluster) seen() (looks, resets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.looks), slices.Clone(c.resets)
}

// describe is a running workflow with activities.
func describe(id string, activities ...*workflowpb.PendingActivityInfo) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "run-of-" + id}, Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		},
		PendingActivities: activities,
	}
}

// ended is a workflow that ended just now.
func ended(id string, status enumspb.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
	d := describe(id)
	d.WorkflowExecutionInfo.Status, d.WorkflowExecutionInfo.CloseTime = status, timestamppb.Now()
	return d
}

// activity is one that makes its next attempt in a while; 0 is one that waits for none.
func activity(id string, state enumspb.PendingActivityState, next time.Duration) *workflowpb.PendingActivityInfo {
	a := &workflowpb.PendingActivityInfo{ActivityId: id, State: state}
	if next != 0 {
		a.NextAttemptScheduleTime = timestamppb.New(time.Now().Add(next))
	}
	return a
}

// ledger is a store's: what is outstanding.
type ledger struct {
	locked  bool
	failing error

	mu     sync.Mutex
	holder hook.LeaseHolder
	until  time.Time
	events []outstanding // the longest due first
	lists  int
}

type outstanding struct {
	hook.Overdue
	due time.Time
}

func (l *ledger) Lease(_ context.Context, name string, holder hook.LeaseHolder, d time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locked || l.holder != holder && time.Now().Before(l.until) || name != "reconcile" {
		return false, nil
	}
	l.holder, l.until = holder, time.Now().Add(d)
	return true, nil
}

func (l *ledger) EndLease(ctx context.Context, _ string, holder hook.LeaseHolder) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == holder && ctx.Err() == nil {
		l.until = time.Time{}
	}
	return ctx.Err()
}

// isLeased reports whether somebody holds the lease.
func (l *ledger) isLeased() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

func (l *ledger) Overdue(_ context.Context, age time.Duration, after hook.OverdueMark, limit int) ([]hook.Overdue, hook.OverdueMark, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists++
	if l.failing != nil {
		return nil, hook.OverdueMark{}, l.failing
	}
	var list []hook.Overdue
	var mark hook.OverdueMark
	for _, o := range l.events {
		past := o.due.After(after.DueAt) || o.due.Equal(after.DueAt) && bytes.Compare(o.EventID[:], after.DeliveryID[:]) > 0
		if time.Since(o.due) > age && past && len(list) < limit {
			list = append(list, o.Overdue)
			mark = hook.OverdueMark{DueAt: o.due, DeliveryID: hook.DeliveryID(o.EventID)}
		}
	}
	if len(list) < limit {
		mark = hook.OverdueMark{}
	}
	return list, mark, nil
}

func (l *ledger) Restarts(_ context.Context, list []hook.Overdue) ([]hook.Start, error) {
	starts := make([]hook.Start, 0, len(list))
	for _, o := range list {
		starts = append(starts, hook.Start{EventID: o.EventID, WorkflowID: o.WorkflowID, TenantID: hook.DefaultTenant(), Deliveries: 1})
	}
	return starts, nil
}

// add adds n events that are due now, and returns their workflows' ids.
func (l *ledger) add(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for range n {
		o := outstanding{due: time.Now()}
		i := len(l.events) + 1
		o.EventID = hook.EventID{6: 0x70, 14: byte(i >> 8), 15: byte(i)}
		l.events = append(l.events, o)
		ids = append(ids, contract.OverdueID(o.Overdue))
	}
	return ids
}

func (l *ledger) looked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists
}

// reconciling runs a reconciler at its defaults: every minute, for what has been due
// for 10 minutes.
func reconciling(t *testing.T, c *cluster, l *ledger) (stop func()) {
	t.Helper()
	r := &dispatch.Reconciler{OverdueStore: l, Temporal: c, Resetter: c, Health: c, Logger: slog.New(slog.DiscardHandler)}
	return running(t, r.Run)
}

// Design 3: overdue by more than 10 minutes, and the workflow is lost: another of the
// same id is started, once.
func TestReconcilerStartsWhatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &cluster{}, &ledger{}
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

// A workflow that has ended with deliveries left is started anew 10 minutes after its
// end: one that can only fail does so no more often.
func TestReconcilerAndEndedWorkflows(t *testing.T) {
	t.Parallel()
	for _, status := range []enumspb.WorkflowExecutionStatus{
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
	} {
		t.Run(status.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, l := &cluster{}, &ledger{}
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

// A workflow that runs is left alone, however long it waits for a worker; one whose
// activity waits for long, as after a crash, is hurried.
func TestReconcilerHurriesWhatWaits(t *testing.T) {
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
				s, l := &cluster{}, &ledger{}
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

				// What a large fan-out's children do is their parent's too.
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

// While Temporal is away one time-out is enough; when it is back everything is done.
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
				c, l := &cluster{}, &ledger{}
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

// Temporal goes away between looking and starting: what was not started is later.
func TestTemporalGoesAwayWithinARound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &cluster{}, &ledger{}
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

// What is refused keeps no other back.
func TestReconcilerGetsPastWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &cluster{}, &ledger{}
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

// A round is bounded. What a long backlog of workflows that run asks of Temporal is
// bounded with it, and they keep nobody behind them from being found; of what is lost
// there may be any number, and it need not wait a minute for each round.
func TestReconcilerRoundsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &cluster{}, &ledger{}
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
		c, l := &cluster{}, &ledger{}
		ids := l.add(9_000)
		defer reconciling(t, c, l)()
		pass(11*time.Minute + 30*time.Second)
		require.Len(t, c.ids(), len(ids))
		require.LessOrEqual(t, c.mostInFlight(), 8)
	})
}

// Several reconcilers take turns: what one is at, no other is.
func TestReconcilersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := &cluster{}, &ledger{locked: true}
		l.add(10)
		defer reconciling(t, c, l)()
		pass(time.Hour)
		require.Zero(t, l.looked())
		calls, _ := c.numbers()
		require.Zero(t, calls)
	})
	synctest.Test(t, func(t *testing.T) {
		c, l := &cluster{}, &ledger{}
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
		c, l := &cluster{}, &ledger{failing: errors.New("away")}
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
		c, l := &cluster{asked: hangs}, &ledger{}
		l.add(10)
		stop := reconciling(t, c, l)
		pass(11*time.Minute + time.Second)
		begun := time.Now()
		stop()
		require.Zero(t, time.Since(begun), "at once")
	})
}
