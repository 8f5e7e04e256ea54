// Package worker builds and runs the Temporal worker: it registers workflows and activities
// under their fixed names, and sets the options that make the worker fast and safe to stop. It
// must not import storage or the API. Its invariant: all state of a run ends with it.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/workflows"
)

// Config is the configuration of New. All but StopTimeout are required.
type Config struct {
	Client     client.Client
	Workflows  *workflows.Workflows
	Activities *activities.Activities
	Logger     *slog.Logger
	// StopTimeout is how long requests in flight may go on when the worker stops. It must be
	// above the longest attempt (30 s), so that no deploy cuts one off; default 40 s.
	StopTimeout time.Duration
}

// Worker runs workflows and activities. When Run has returned it may be run again.
type Worker struct {
	config Config
	mu     sync.Mutex
	// started is closed while the current run polls. Between runs it is that of the next run.
	started chan struct{}
}

const defaultStopTimeout = 40 * time.Second

// The numbers of activities and workflow tasks in progress at once. An activity whose receivers
// hang holds its place for as long as their timeouts, so there are many places; a workflow task
// takes no longer than its code and its inline attempts.
const (
	maxActivities    = 1000
	maxWorkflowTasks = 200
)

// The numbers of pollers of each kind; each is one long poll at the server.
const (
	minPollers     = 2
	initialPollers = 4
	maxPollers     = 16
)

// New returns a worker, or an error if the configuration is incomplete. It starts nothing.
func New(c Config) (*Worker, error) {
	if c.Client == nil || c.Workflows == nil || c.Activities == nil || c.Logger == nil {
		return nil, errors.New("worker: client, workflows, activities and logger are required")
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = defaultStopTimeout
	}
	return &Worker{config: c, started: make(chan struct{})}, nil
}

// Started returns a channel that is closed while the worker polls. Before a run it returns the
// channel that is closed when that begins to poll.
func (w *Worker) Started() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started
}

// Run polls until ctx ends, then takes no more work and waits for the work in progress. It
// returns an error when the worker can't go on. Temporal must be reachable when it is called.
func (w *Worker) Run(ctx context.Context) error {
	fatal := make(chan error, 1)
	return w.run(ctx, w.build(fatal), fatal)
}

// poller is the part of the SDK's worker that Run uses.
type poller interface {
	Start() error
	Stop()
}

// run is one run of the worker. All of its state ends with it.
func (w *Worker) run(ctx context.Context, sdk poller, fatal <-chan error) error {
	stop := w.config.Activities.Engine().Begin()
	defer stop()
	if err := sdk.Start(); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	ended := w.begun()
	w.config.Logger.InfoContext(ctx, "worker started", slog.String("task_queue", contract.TaskQueue))
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-fatal:
	}
	ended()
	stop()
	sdk.Stop()
	return failure
}

// begun marks the worker as polling, until ended is called.
func (w *Worker) begun() (ended func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.started)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.started = make(chan struct{})
	}
}

func (w *Worker) build(fatal chan<- error) sdkworker.Worker {
	pollers := func() sdkworker.PollerBehavior {
		return sdkworker.NewPollerBehaviorAutoscaling(sdkworker.PollerBehaviorAutoscalingOptions{
			InitialNumberOfPollers: initialPollers, MinimumNumberOfPollers: minPollers, MaximumNumberOfPollers: maxPollers,
		})
	}
	sdk := sdkworker.New(w.config.Client, contract.TaskQueue, sdkworker.Options{
		WorkflowTaskPollerBehavior: pollers(),
		ActivityTaskPollerBehavior: pollers(),

		MaxConcurrentActivityExecutionSize:     maxActivities,
		MaxConcurrentWorkflowTaskExecutionSize: maxWorkflowTasks,

		BuildID: workflows.BuildID, //nolint:staticcheck // its replacement is for versioned workers

		WorkerStopTimeout:           w.config.StopTimeout,
		DisableRegistrationAliasing: true,
		OnFatalError: func(err error) {
			select {
			case fatal <- fmt.Errorf("worker: %w", err):
			default: // an earlier error has ended the run
			}
		},
	})
	Register(sdk, w.config.Workflows, w.config.Activities)
	return sdk
}

// Registry registers workflows and activities: a worker, or a test environment.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers all workflows and activities under their fixed names.
func Register(r Registry, w *workflows.Workflows, a *activities.Activities) {
	r.RegisterWorkflowWithOptions(w.Deliver, workflow.RegisterOptions{Name: contract.NameDeliver})
	r.RegisterWorkflowWithOptions(w.DeliverSlices, workflow.RegisterOptions{Name: contract.NameDeliverSlices})
	r.RegisterWorkflowWithOptions(w.SendNow, workflow.RegisterOptions{Name: contract.NameSendNow})
	r.RegisterActivityWithOptions(a.Deliver, activity.RegisterOptions{Name: contract.ActivityDeliver})
	r.RegisterActivityWithOptions(a.DeliverFirst, activity.RegisterOptions{Name: contract.ActivityDeliverFirst})
	r.RegisterWorkflowWithOptions(w.Drain, workflow.RegisterOptions{Name: contract.NameDrain})
	r.RegisterActivityWithOptions(a.Drain, activity.RegisterOptions{Name: contract.ActivityDrain})
	r.RegisterWorkflowWithOptions(w.Replay, workflow.RegisterOptions{Name: contract.NameReplay})
	r.RegisterActivityWithOptions(a.Replay, activity.RegisterOptions{Name: contract.ActivityReplay})
	r.RegisterWorkflowWithOptions(w.DeleteTenant, workflow.RegisterOptions{Name: contract.NameDeleteTenant})
	r.RegisterActivityWithOptions(a.DeleteTenant, activity.RegisterOptions{Name: contract.ActivityDeleteTenant})
	r.RegisterActivityWithOptions(a.SendNow, activity.RegisterOptions{Name: contract.ActivitySendNow})
}
