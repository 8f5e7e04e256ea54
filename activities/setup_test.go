package activities_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"
	"go.uber.org/goleak"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ delivery.Store         = (*storagetest.Store)(nil)
	_ delivery.Lookup        = (*storagetest.Store)(nil)
	_ delivery.Sender        = (*storagetest.Sender)(nil)
	_ delivery.DeferredStore = (*storagetest.Store)(nil)
	_ delivery.Drains        = (*storagetest.Store)(nil)
	_ activities.DrainStore  = (*storagetest.Store)(nil)
	_ activities.Replays     = (*storagetest.Store)(nil)
	_ activities.Deletions   = (*storagetest.Store)(nil)
)

const (
	urlA = "https://a.example/a"
	urlB = "https://b.example/b"
	urlC = "https://c.example/c"

	eventType = "user.created"
	payload   = `{"id":"user_123"}`
)

// bench runs single activities against a store and receivers in memory, on the
// bubble's clock.
type bench struct {
	*testing.T
	env    *testsuite.TestActivityEnvironment
	acts   *activities.Activities
	store  *storagetest.Store
	sender *storagetest.Sender
	start  time.Time
	log    *bytes.Buffer
	// stop ends the context of running activities, as a worker does after its stop timeout.
	stop context.CancelCauseFunc
	// endRun ends the worker's run.
	endRun func()
	// heartbeats are the details that the Web UI shows with the pending activity.
	heartbeats [][]contract.Outcome
}

// onBench runs the test in a bubble of its own.
func onBench(t *testing.T, test func(b *bench), options ...func(*activities.Deps)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(setup(t, options...)) })
}

// newEnvironment runs activities until ctx ends.
func newEnvironment(ctx context.Context) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	suite.SetDisableRegistrationAliasing(true) // as the worker does
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(sdkworker.Options{BackgroundActivityContext: ctx})
	return env
}

func setup(t *testing.T, options ...func(*activities.Deps)) *bench {
	t.Helper()
	ctx, stop := context.WithCancelCause(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { stop(nil) })
	b := &bench{
		T: t, env: newEnvironment(ctx), store: storagetest.NewStore(time.Now),
		sender: storagetest.NewSender(time.Now), start: time.Now(), log: &bytes.Buffer{}, stop: stop,
	}
	b.env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var list []contract.Outcome
		if err := details.Get(&list); err != nil {
			t.Errorf("heartbeat: %v", err)
		}
		b.heartbeats = append(b.heartbeats, list)
	})
	deps := activities.Deps{
		Deps: delivery.Deps{
			Store: b.store, Lookup: b.store, DeferredStore: b.store, Drains: b.store, Sender: b.sender,
			Schedule: hook.DefaultSchedule(), Jitter: none, Logger: slog.New(slog.NewJSONHandler(b.log, nil)),
		},
		DrainStore: b.store, Replays: b.store, Deletions: b.store,
	}
	for _, option := range options {
		option(&deps)
	}
	var err error
	b.acts, err = activities.New(deps)
	require.NoError(t, err)
	t.Cleanup(b.begin())
	b.env.RegisterActivityWithOptions(b.acts.Deliver, activity.RegisterOptions{Name: "Deliver"})
	b.env.RegisterActivityWithOptions(b.acts.SendNow, activity.RegisterOptions{Name: "SendNow"})
	return b
}

// begin begins another run of the worker; stop ends it.
func (b *bench) begin() (stop func()) {
	b.endRun = b.acts.Engine().Begin()
	return b.endRun
}

func (b *bench) deliver(s hook.Start) (contract.DeliverResult, error) {
	b.Helper()
	var r contract.DeliverResult
	value, err := b.env.ExecuteActivity(b.acts.Deliver, contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: s.Deliveries, Of: 1})
	if err == nil {
		require.NoError(b, value.Get(&r))
	}
	return r, err
}

func (b *bench) sendNow(d hook.Delivery) (contract.Outcome, error) {
	b.Helper()
	var o contract.Outcome
	value, err := b.env.ExecuteActivity(b.acts.SendNow, contract.SendNowInput{DeliveryID: d.ID})
	if err == nil {
		require.NoError(b, value.Get(&o))
	}
	return o, err
}

// asked requires an application error of the type that asks for another run after the given
// delay. It returns the message.
func (b *bench) asked(err error, typ string, in time.Duration) (message string) {
	b.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(b, err, &app)
	require.Equal(b, typ, app.Type())
	require.False(b, app.NonRetryable())
	require.Equal(b, in, app.NextRetryDelay())
	require.Positive(b, app.NextRetryDelay(), "0 would mean not set")
	if typ == contract.ErrorOutstanding {
		require.Equal(b, temporal.ApplicationErrorCategoryBenign, app.Category())
	}
	return app.Message()
}

// requireSentAt requires requests to the URL exactly at these times.
func (b *bench) requireSentAt(url string, want ...time.Duration) {
	b.Helper()
	require.Equal(b, want, b.sender.Times(url, b.start))
}

// during makes a call at a time after the start.
func (b *bench) during(after time.Duration, do func()) { time.AfterFunc(after, do) }

const second = time.Second

// none is a jitter without chance: it draws 0.
func none(time.Duration) time.Duration { return 0 }

// next returns the delay after which the error asks for the next run.
func (b *bench) next(err error) time.Duration {
	b.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(b, err, &app)
	require.False(b, app.NonRetryable(), err)
	require.Positive(b, app.NextRetryDelay())
	return app.NextRetryDelay()
}
