package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
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

// workflowServer is a Temporal with workflows, as the reconciler sees it.
type workflowServer struct {
	temporalServer
	// asked, if set, returns the error of describing a workflow.
	asked func(ctx context.Context, id string) error

	mu sync.Mutex
	// running has the descriptions of workflows by id. Started workflows are added.
	running map[string]*workflowservice.DescribeWorkflowExecutionResponse
	looks   []string
	resets  []string
}

func (c *workflowServer) DescribeWorkflowExecution(ctx context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
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

func (c *workflowServer) ResetActivity(_ context.Context, workflowID, runID, activityID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resets = append(c.resets, fmt.Sprint(workflowID, " ", runID, " ", activityID))
	return nil
}

func (c *workflowServer) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	r, err := c.temporalServer.ExecuteWorkflow(ctx, o, workflow, args...)
	if err == nil {
		c.put(o.ID, describe(o.ID))
	}
	return r, err
}

func (c *workflowServer) put(id string, d *workflowservice.DescribeWorkflowExecutionResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[string]*workflowservice.DescribeWorkflowExecutionResponse{}
	}
	c.running[id] = d
}

func (c *workflowServer) seen() (looks, resets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.looks), slices.Clone(c.resets)
}

// describe returns the description of a running workflow with these activities.
func describe(id string, activities ...*workflowpb.PendingActivityInfo) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "run-of-" + id}, Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		},
		PendingActivities: activities,
	}
}

// ended returns the description of a workflow that has just ended.
func ended(id string, status enumspb.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
	d := describe(id)
	d.WorkflowExecutionInfo.Status, d.WorkflowExecutionInfo.CloseTime = status, timestamppb.Now()
	return d
}

// activity returns an activity whose next attempt is after a time; with 0 it waits for no attempt.
func activity(id string, state enumspb.PendingActivityState, next time.Duration) *workflowpb.PendingActivityInfo {
	a := &workflowpb.PendingActivityInfo{ActivityId: id, State: state}
	if next != 0 {
		a.NextAttemptScheduleTime = timestamppb.New(time.Now().Add(next))
	}
	return a
}

// overdueStore is a store in memory with outstanding deliveries.
type overdueStore struct {
	locked  bool
	failing error

	mu     sync.Mutex
	holder hook.LeaseHolder
	until  time.Time
	events []outstanding // the longest due comes first
	lists  int
}

type outstanding struct {
	hook.Overdue
	due time.Time
}

func (l *overdueStore) Lease(_ context.Context, name string, holder hook.LeaseHolder, d time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locked || l.holder != holder && time.Now().Before(l.until) || name != "reconcile" {
		return false, nil
	}
	l.holder, l.until = holder, time.Now().Add(d)
	return true, nil
}

func (l *overdueStore) EndLease(ctx context.Context, _ string, holder hook.LeaseHolder) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == holder && ctx.Err() == nil {
		l.until = time.Time{}
	}
	return ctx.Err()
}

// isLeased reports whether a reconciler holds the lease.
func (l *overdueStore) isLeased() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

func (l *overdueStore) Overdue(_ context.Context, age time.Duration, after hook.OverdueMark, limit int) ([]hook.Overdue, hook.OverdueMark, error) {
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

func (l *overdueStore) Restarts(_ context.Context, list []hook.Overdue) ([]hook.Start, error) {
	starts := make([]hook.Start, 0, len(list))
	for _, o := range list {
		starts = append(starts, hook.Start{EventID: o.EventID, WorkflowID: o.WorkflowID, TenantID: hook.DefaultTenant(), Deliveries: 1})
	}
	return starts, nil
}

// add adds n events that are due now, and returns the ids of their workflows.
func (l *overdueStore) add(n int) []string {
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

func (l *overdueStore) looked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists
}

// reconciling runs a reconciler with its defaults: every minute, for deliveries that have been due for 10 minutes.
func reconciling(t *testing.T, c *workflowServer, l *overdueStore) (stop func()) {
	t.Helper()
	return running(t, newReconciler(t, c, l, nil).Run)
}

// newReconciler returns a reconciler with its defaults, except for the settings that change sets.
func newReconciler(t *testing.T, c *workflowServer, l dispatch.OverdueStore, change func(*dispatch.ReconcilerConfig)) *dispatch.Reconciler {
	t.Helper()
	config := dispatch.ReconcilerConfig{Store: l, Temporal: c, Resetter: c, Health: c, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	r, err := dispatch.NewReconciler(config)
	require.NoError(t, err)
	return r
}
