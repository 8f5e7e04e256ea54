package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// polling replaces the SDK's worker in one run.
type polling struct {
	refuses error
	// stops is called while it stops.
	stops func()
}

func (p *polling) Start() error { return p.refuses }

func (p *polling) Stop() {
	if p.stops != nil {
		p.stops()
	}
}

func (w *Worker) isReady() bool {
	select {
	case <-w.Started():
		return true
	default:
		return false
	}
}

// When Temporal has lost its namespace the worker ends, and it is run again when there is one.
// The next run works like the first, and in between the worker is not ready.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	c := setup(t)
	store := storagetest.NewStore(time.Now)
	var err error
	c.Activities, err = activities.New(activities.Deps{
		Deps: delivery.Deps{
			Store: store, Lookup: store, Sender: storagetest.NewSender(time.Now), DeferredStore: store, Drains: store,
			Schedule: hook.DefaultSchedule(), Logger: c.Logger,
		},
		DrainStore: store, Replays: store, Deletions: store,
	})
	require.NoError(t, err)
	w, err := New(c)
	require.NoError(t, err)
	webhook := store.AddWebhook("https://a.example", nil)
	deliver := func() error {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		env.SetWorkerOptions(sdkworker.Options{BackgroundActivityContext: t.Context()})
		env.RegisterActivity(c.Activities.Deliver)
		start := store.Publish("user.created", `{}`, webhook)
		_, err := env.ExecuteActivity(c.Activities.Deliver, contract.SliceInput{EventIDs: []hook.EventID{start.EventID}, Deliveries: 1, Of: 1})
		return err
	}
	require.ErrorContains(t, w.run(t.Context(), &polling{refuses: errors.New("away")}, nil), "start worker: away")
	require.False(t, w.isReady())
	for range 2 {
		fatal := make(chan error, 1)
		ended := make(chan error, 1)
		var ready bool
		var late error
		started := w.Started()
		go func() {
			ended <- w.run(t.Context(), &polling{stops: func() { ready, late = w.isReady(), deliver() }}, fatal)
		}()
		<-started
		require.True(t, w.isReady())
		require.NoError(t, deliver())
		lost := errors.New("namespace not found")
		fatal <- lost
		require.ErrorIs(t, <-ended, lost)
		require.False(t, ready, "it takes no work any more")
		require.Error(t, late, "it begins nothing any more")
		require.False(t, w.isReady())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, w.run(ctx, &polling{}, nil))
}
