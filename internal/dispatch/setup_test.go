package dispatch_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/internal/pgtest"
	"grapnel/storage/pgtemplate"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main{M: m, Template: pgtemplate.Template()})
}

// temporalServer takes starts as Temporal does, as dispatch sees it.
type temporalServer struct {
	// start, if set, returns the error of a start.
	start func(ctx context.Context, id string) error
	// get, if set, returns the error of waiting for a workflow.
	get func(ctx context.Context) error
	// nobody says that no worker has taken the started workflow.
	nobody bool
	// waiting is when the activity of a running workflow makes its next attempt.
	waiting time.Time
	// ready, if set, returns the error of Ready.
	ready func(ctx context.Context) error
	// taken says that a worker takes the workflow while it is being terminated.
	taken bool

	mu       sync.Mutex
	calls    int
	inFlight int
	most     int
	order    []string
	started  map[string]client.StartWorkflowOptions
	inputs   map[string]any
	names    map[string]any
	resets   []string
	asked    int
	ended    bool
}

// asks returns how often Ready was called.
func (s *temporalServer) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *temporalServer) Ready(ctx context.Context) error {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	if s.ready == nil {
		return nil
	}
	return s.ready(ctx)
}

func (s *temporalServer) ResetActivity(_ context.Context, workflowID, _, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resets = append(s.resets, workflowID)
	return nil
}

func (s *temporalServer) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	d := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{HistoryLength: 5}}
	if !s.waiting.IsZero() {
		d = describe(id, activity("5", enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, time.Until(s.waiting)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.nobody && s.ended && s.taken:
		d.WorkflowExecutionInfo.HistoryLength = 6
	case s.nobody && s.ended:
		d.WorkflowExecutionInfo.HistoryLength = 3
	case s.nobody:
		d.WorkflowExecutionInfo.HistoryLength = 2
		d.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{State: enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED}
	}
	return d, nil
}

func (s *temporalServer) TerminateWorkflow(context.Context, string, string, string, ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return nil
}

func (s *temporalServer) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	s.mu.Lock()
	s.calls++
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	err := ctx.Err()
	if err == nil && s.start != nil {
		err = s.start(ctx, o.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if err != nil {
		return nil, err
	}
	if s.started == nil {
		s.started, s.inputs, s.names = map[string]client.StartWorkflowOptions{}, map[string]any{}, map[string]any{}
	}
	s.order = append(s.order, o.ID)
	s.started[o.ID], s.inputs[o.ID], s.names[o.ID] = o, args[0], workflow
	return run{get: s.get}, nil
}

// inputOf returns the input of a workflow that was started.
func (s *temporalServer) inputOf(id string) (input any, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	input, started = s.inputs[id]
	return input, started
}

func (s *temporalServer) numbers() (calls, started int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, len(s.started)
}

// ids returns the started workflows, in the order of their starts.
func (s *temporalServer) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// mostInFlight returns the largest number of starts that were under way at once.
func (s *temporalServer) mostInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

type run struct {
	client.WorkflowRun
	get func(ctx context.Context) error
}

func (run) GetID() string { return "id" }

func (run) GetRunID() string { return "run" }

func (r run) Get(ctx context.Context, _ any) error {
	if r.get == nil {
		return nil
	}
	return r.get(ctx)
}

// hangs is a start that Temporal never answers.
func hangs(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func newStarter(t *testing.T, s *temporalServer, o *outbox, change func(*dispatch.StarterConfig)) *dispatch.Starter {
	t.Helper()
	c := dispatch.StarterConfig{Temporal: s, Outbox: o, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	starter, err := dispatch.NewStarter(c)
	require.NoError(t, err)
	return starter
}

// newSweeper returns a sweeper with its defaults.
func newSweeper(t *testing.T, s *temporalServer, o *outbox, starter *dispatch.Starter) *dispatch.Sweeper {
	t.Helper()
	sweeper, err := dispatch.NewSweeper(dispatch.SweeperConfig{
		Starter: starter, Store: o, Temporal: s, Resetter: s, Health: s, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return sweeper
}

// running runs f and returns a function that stops it and waits for its end.
func running(t *testing.T, f func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// pass lets the bubble's time pass, and everything happen that is due then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func idOf(s hook.Start) string { return contract.DeliverID(s.EventID) }
