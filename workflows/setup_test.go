package workflows_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
	"grapnel/worker"
	"grapnel/workflows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	urlA = "https://a.example/hooks/path-of-a?token=query-of-a"
	urlB = "https://b.example/hooks/path-of-b"
	urlC = "https://c.example/hooks/path-of-c"

	eventType = "user.created"
	payload   = `{"id":"user_123","name":"payload-of-the-event"}`
)

// deliverFunc is the activity Deliver, or its replacement.
type deliverFunc func(context.Context, contract.SliceInput) (contract.DeliverResult, error)

// world runs the real workflows and activities against a store and receivers in memory. Its
// clock is Temporal's, which skips the time that a workflow waits, plus the bubble's time, in
// which requests take place.
type world struct {
	*testing.T
	env    *testsuite.TestWorkflowEnvironment
	store  *storagetest.Store
	sender *storagetest.Sender
	// real, if set before run, sends the requests instead: by HTTP, to the test's receivers.
	real delivery.Sender
	now  func() time.Time
	// began is the time at which the environment was made, by the bubble's clock.
	began    time.Time
	accepted time.Time
	// way is where the first attempts are made.
	way way
	// acts are the activities, owner their lease, and starts the starts that they give.
	acts   *activities.Activities
	owner  *delivery.Owner
	starts starts
	// instead, if set before run, replaces the activity Deliver.
	instead func(real deliverFunc) deliverFunc
	failure error
}

// way is where the first attempts of an event are made.
type way string

const (
	// regular: by the activity.
	regular way = "regular"
	// inline: by a local activity in the workflow's first task.
	inline way = "inline"
	// immediate: by the process that has accepted the event, before the workflow starts.
	immediate way = "immediate"
)

// inWorld runs the test in bubbles of its own, once for each way.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	for _, by := range []way{regular, inline, immediate} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			inOneWorld(t, by, test)
		})
	}
}

func inOneWorld(t *testing.T, by way, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(setup(t, by)) })
}

// starts hands over the starts of workflows.
type starts chan hook.Start

func (s starts) Dispatch(start hook.Start)               { s <- start }
func (s starts) Attempted(start hook.Start, _ time.Time) { s <- start }
func (s starts) Expect(hook.EventID)                     {}
func (s starts) Forget(...hook.EventID)                  {}

func setup(t *testing.T, by way) *world {
	t.Helper()
	w := &world{T: t, way: by, starts: make(starts, 100)}
	w.now = func() time.Time { return w.env.Now().Add(time.Since(w.began)) }
	w.store, w.sender = storagetest.NewStore(w.now), storagetest.NewSender(w.now)
	w.begin(time.Now())
	w.accepted = w.now()
	return w
}

// begin makes the environment of one workflow, whose clock starts at the given time.
func (w *world) begin(at time.Time) {
	w.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	suite.SetDisableRegistrationAliasing(true) // as the worker does
	w.env, w.began = suite.NewTestWorkflowEnvironment(), time.Now()
	w.env.SetStartTime(at)
	w.env.SetTestTimeout(time.Hour)
	w.env.SetActivityTimeoutGracePeriod(time.Hour) // it counts from the first attempt on
	var err error
	w.owner, err = delivery.NewOwner(w.store, slog.New(slog.DiscardHandler))
	require.NoError(w, err)
	w.acts, err = activities.New(activities.Deps{
		Deps: delivery.Deps{
			Store: w.store, Lookup: w.store, DeferredStore: w.store, Drains: w.store, Sender: senders{w},
			Schedule: hook.DefaultSchedule(), Jitter: none, Logger: slog.New(slog.DiscardHandler), Now: w.now,
			Owner: w.owner, Starts: w.starts, Heartbeats: w.store, Dispatcher: w.starts,
		},
		DrainStore: w.store, Replays: w.store, Deletions: w.store,
	})
	require.NoError(w, err)
	w.Cleanup(w.acts.Engine().Begin())
	worker.Register(registry{w}, &workflows.Workflows{Schedule: hook.DefaultSchedule()}, w.acts)
}

// accept makes the immediate attempts of an event and returns the start of its workflow.
func (w *world) accept(s hook.Start) hook.Start {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.owner.Run(ctx) // it never fails
	}()
	synctest.Wait()
	s.Owner = w.owner.Current()
	w.acts.Engine().Accept(s)
	start := <-w.starts
	engine := w.acts.Engine()
	if start.Owner.IsZero() { // else the workflow joins them
		require.NoError(w, engine.AwaitImmediate(w.Context()))
	}
	w.Cleanup(func() {
		cancel()
		<-ended
	})
	return start
}

// at makes the environment of another workflow, at the given time after the accept.
func (w *world) at(d time.Duration) {
	w.Helper()
	require.Greater(w, w.accepted.Add(d), w.now(), "time does not go back")
	w.begin(w.accepted.Add(d))
}

// senders send by the world's sender, or by its real one.
type senders struct{ *world }

func (s senders) Send(ctx context.Context, r hook.Request) (hook.Attempt, error) {
	if s.real != nil {
		begun := s.now()
		a, err := s.real.Send(ctx, r)
		a.StartedAt = begun // the real sender knows nothing of skipped time
		return a, err
	}
	return s.sender.Send(ctx, r)
}

// registry registers with the environment, and replaces the activity Deliver.
type registry struct{ *world }

func (r registry) RegisterWorkflowWithOptions(w any, o workflow.RegisterOptions) {
	r.env.RegisterWorkflowWithOptions(w, o)
}

func (r registry) RegisterActivityWithOptions(a any, o activity.RegisterOptions) {
	if real, ok := a.(func(context.Context, contract.SliceInput) (contract.DeliverResult, error)); ok {
		a = func(ctx context.Context, in contract.SliceInput) (contract.DeliverResult, error) {
			if r.instead == nil {
				return real(ctx, in)
			}
			return r.instead(real)(ctx, in)
		}
	}
	r.env.RegisterActivityWithOptions(a, o)
}

// deliver runs the workflow of the event to its end.
func (w *world) deliver(s hook.Start) contract.DeliverResult {
	w.Helper()
	if w.way == immediate {
		s = w.accept(s)
	}
	options, input := workflows.DeliverStart(s)
	input.Inline = input.Inline && w.way == inline
	var result contract.DeliverResult
	w.run(options, contract.NameDeliver, input, &result)
	return result
}

func (w *world) run(options client.StartWorkflowOptions, name string, input, result any) {
	w.Helper()
	w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: options.ID, TaskQueue: options.TaskQueue})
	w.env.ExecuteWorkflow(name, input)
	require.True(w, w.env.IsWorkflowCompleted())
	if w.failure = w.env.GetWorkflowError(); w.failure == nil {
		require.NoError(w, w.env.GetWorkflowResult(result))
	}
}

// details returns the Markdown that the Web UI shows with the workflow.
func (w *world) details() string {
	w.Helper()
	value, err := w.env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(w, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(w, value.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// later makes a call at a time after the accept, between the attempts.
func (w *world) later(after time.Duration, do func()) { w.env.RegisterDelayedCallback(do, after) }

// requireSentAt requires requests to the URL exactly at these times after the accept.
func (w *world) requireSentAt(url string, want ...time.Duration) {
	w.Helper()
	require.Equal(w, want, w.sender.Times(url, w.accepted))
}

// requireFailed requires that the workflow has failed so that the Web UI's Failed filter finds
// it. It returns the message and the result.
func (w *world) requireFailed() (message string, r contract.DeliverResult) {
	w.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(w, w.failure, &app)
	require.Equal(w, contract.ErrorFailed, app.Type())
	require.True(w, app.NonRetryable())
	require.NoError(w, app.Details(&r))
	return app.Message(), r
}

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

func outcomes(o storagetest.Outcome, n int) []storagetest.Outcome {
	list := make([]storagetest.Outcome, n)
	for i := range list {
		list[i] = o
	}
	return list
}

// none is a jitter without chance: it draws 0.
func none(time.Duration) time.Duration { return 0 }
