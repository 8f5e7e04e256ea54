package enginetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// callTime is the duration of a request to Temporal, silence that of a request without an answer.
const (
	callTime = time.Millisecond
	silence  = 30 * time.Second
)

// server keeps workflows as Temporal does, as far as the engine sees it: one run at a time for an id, activities
// that are retried by their policy, and tasks that go to another worker when one does not answer in time.
type server struct {
	w *world

	mu   sync.Mutex
	runs map[string]*execution // the latest run of each id
	away bool
	// changed is closed and replaced when a worker or Temporal becomes available or unavailable.
	changed chan struct{}
	started int
	// starts is what becomes of the starts of deliveries.
	starts startFate
	group  sync.WaitGroup
}

// execution is one run of a workflow.
type execution struct {
	id, runID string
	input     any
	status    enumspb.WorkflowExecutionStatus
	closed    time.Time
	// gone is closed when the run is lost or terminated, done when it has ended in any way.
	gone, done chan struct{}
	// touched is set once a worker has taken its first task.
	touched bool
	tasks   []*task
	result  []byte
	err     error
}

// task is an activity of an execution.
type task struct {
	id      string
	running bool
	// next is the time of the next attempt, if the task waits for one.
	next      time.Time
	reset     chan struct{}
	heartbeat []byte
}

func newServer(w *world) *server {
	return &server{w: w, runs: map[string]*execution{}, changed: make(chan struct{}), starts: startsFine}
}

// change runs f and wakes the tasks that wait for a worker or for Temporal.
func (t *server) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	close(t.changed)
	t.changed = make(chan struct{})
}

// changes returns a channel that is closed at the next change.
func (t *server) changes() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// lose forgets all workflows.
func (t *server) lose() {
	t.change(func() {
		for _, e := range t.runs {
			if e.status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				e.end(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil, serviceerror.NewNotFound("workflow not found"))
				close(e.gone)
			}
		}
		clear(t.runs)
	})
}

// end ends the run; the caller holds the lock.
func (e *execution) end(status enumspb.WorkflowExecutionStatus, result []byte, err error) {
	e.status, e.closed, e.result, e.err = status, time.Now(), result, err
	close(e.done)
}

// running returns the ids of the running workflows.
func (t *server) running() (ids map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids = map[string]bool{}
	for id, e := range t.runs {
		if e.status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			ids[id] = true
		}
	}
	return ids
}

// way is a process's client of Temporal.
type way struct {
	t *server
	p *process
}

// reach returns nil when Temporal has the request, or an error if it does not answer.
func (v way) reach(ctx context.Context) error {
	time.Sleep(callTime) //nolint:forbidigo // skipped time
	switch {
	case v.p.isDead():
		return errKilled
	case ctx.Err() != nil:
		return ctx.Err()
	case v.t.reachable(v.p):
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-v.p.dead:
		return errKilled
	case <-time.After(silence):
		return serviceerror.NewUnavailable("no answer")
	}
}

func (t *server) reachable(p *process) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.away && !p.cut
}

// takes reports whether a process takes tasks.
func (t *server) takes(p *process) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.away && !p.cut && !p.leaving && !p.isDead()
}

func (v way) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if err := v.reach(ctx); err != nil {
		return nil, err
	}
	fate, err := v.t.fate(ctx, args[0])
	if err != nil {
		return nil, err
	}
	run, err := v.execute(&o, args[0])
	if err == nil && fate == answersLost {
		return nil, serviceerror.NewUnavailable("the answer is lost")
	}
	return run, err
}

// execute starts a workflow, or finds the one that exists.
func (v way) execute(o *client.StartWorkflowOptions, input any) (client.WorkflowRun, error) {
	t := v.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.runs[o.ID]; e != nil {
		runs := e.status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
		if runs && o.WorkflowIDConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING {
			return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("running", "", e.runID)
		}
		if runs || o.WorkflowIDReusePolicy == enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE {
			return run{t, e}, nil // the SDK returns no error for a run that exists already
		}
	}
	t.started++
	e := &execution{
		id: o.ID, runID: fmt.Sprintf("run-%d", t.started), input: input, status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		gone: make(chan struct{}), done: make(chan struct{}),
	}
	t.runs[o.ID] = e
	t.w.logf("%s starts %s", v.p.name, t.w.short(o.ID))
	timeout := o.WorkflowExecutionTimeout
	t.group.Go(func() { t.drive(e, v.p, timeout) })
	return run{t, e}, nil
}

// drive runs a workflow to its end.
func (t *server) drive(e *execution, by *process, timeout time.Duration) {
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { t.terminate(e, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, errors.New("workflow timed out")) })
		defer timer.Stop()
	}
	var result any
	by, err := t.firstWorker(e, by)
	if err == nil {
		result, err = t.workflow(e, by)
	}
	var text []byte
	status := enumspb.WORKFLOW_EXECUTION_STATUS_FAILED
	if err == nil {
		status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
		text, err = json.Marshal(result)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		e.end(status, text, err)
	}
}

// firstWorker returns the process for the first task: the one that starts the workflow, eagerly, or else any
// worker.
func (t *server) firstWorker(e *execution, by *process) (*process, error) {
	var err error
	if !t.takes(by) {
		by, err = t.worker(e, 0)
	}
	if err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		e.touched = true
	}
	return by, err
}

func (t *server) terminate(e *execution, status enumspb.WorkflowExecutionStatus, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		e.end(status, nil, err)
		close(e.gone)
	}
}

func (v way) DescribeWorkflowExecution(ctx context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if err := v.reach(ctx); err != nil {
		return nil, err
	}
	v.t.mu.Lock()
	defer v.t.mu.Unlock()
	e := v.t.runs[id]
	if e == nil {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	d := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: e.runID}, Status: e.status, HistoryLength: 5,
	}}
	if !e.touched {
		d.WorkflowExecutionInfo.HistoryLength = 2
	}
	if e.status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		d.WorkflowExecutionInfo.HistoryLength++
		d.WorkflowExecutionInfo.CloseTime = timestamppb.New(e.closed)
		return d, nil
	}
	if !e.touched {
		d.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{State: enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED}
	}
	for _, task := range e.tasks {
		a := &workflowpb.PendingActivityInfo{ActivityId: task.id, State: enumspb.PENDING_ACTIVITY_STATE_SCHEDULED}
		if task.running {
			a.State = enumspb.PENDING_ACTIVITY_STATE_STARTED
		} else if !task.next.IsZero() {
			a.NextAttemptScheduleTime = timestamppb.New(task.next)
		}
		d.PendingActivities = append(d.PendingActivities, a)
	}
	return d, nil
}

// Ready reports whether Temporal answers.
func (v way) Ready(ctx context.Context) error { return v.reach(ctx) }

func (v way) TerminateWorkflow(ctx context.Context, id, _, _ string, _ ...any) error {
	if err := v.reach(ctx); err != nil {
		return err
	}
	v.t.mu.Lock()
	e := v.t.runs[id]
	v.t.mu.Unlock()
	if e == nil {
		return serviceerror.NewNotFound("workflow not found")
	}
	v.t.terminate(e, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, errors.New("workflow terminated"))
	return nil
}

func (v way) ResetActivity(ctx context.Context, id, _, activity string) error {
	if err := v.reach(ctx); err != nil {
		return err
	}
	v.t.mu.Lock()
	defer v.t.mu.Unlock()
	if e := v.t.runs[id]; e != nil {
		for _, task := range e.tasks {
			if task.id == activity {
				select {
				case task.reset <- struct{}{}:
				default:
				}
				return nil
			}
		}
	}
	return serviceerror.NewNotFound("activity not found")
}

// run is a caller's handle of a workflow.
type run struct {
	t *server
	e *execution
}

func (r run) GetID() string                  { return r.e.id }
func (r run) GetFirstExecutionRunID() string { return r.e.runID }
func (r run) GetRunID() string               { return r.e.runID }

func (r run) Get(ctx context.Context, v any) error {
	select {
	case <-r.e.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	if r.e.err != nil {
		return r.e.err
	}
	return json.Unmarshal(r.e.result, v)
}

func (r run) GetWithOptions(ctx context.Context, v any, _ client.WorkflowRunGetOptions) error {
	return r.Get(ctx, v)
}
