package worker

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"

	"grapnel/activities"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
	"grapnel/workflows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup makes a configuration whose client has an address where nothing listens.
func setup(t *testing.T) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	logger := slog.New(slog.DiscardHandler)
	c, err := client.NewLazyClient(client.Options{
		HostPort: addr, Logger: log.NewStructuredLogger(logger),
		ConnectionOptions: client.ConnectionOptions{GetSystemInfoTimeout: 100 * time.Millisecond},
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	store := storagetest.NewStore(time.Now)
	acts, err := activities.New(activities.Deps{
		Deps: delivery.Deps{
			Store: store, Lookup: store, Sender: storagetest.NewSender(time.Now), DeferredStore: store, Drains: store,
			Schedule: hook.DefaultSchedule(), Logger: logger,
		},
		DrainStore: store, Replays: store, Deletions: store,
	})
	require.NoError(t, err)
	return Config{Client: c, Workflows: &workflows.Workflows{Schedule: hook.DefaultSchedule()}, Activities: acts, Logger: logger}
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Config){
		"no client":     func(c *Config) { c.Client = nil },
		"no workflows":  func(c *Config) { c.Workflows = nil },
		"no activities": func(c *Config) { c.Activities = nil },
		"no logger":     func(c *Config) { c.Logger = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t)
			spoil(&c)
			_, err := New(c)
			require.Error(t, err)
		})
	}
}

// The SDK's default is 0 s, which would cut off requests in flight.
func TestStopTimeoutIsAboveTheLongestAttempt(t *testing.T) {
	t.Parallel()
	c := setup(t)
	w, err := New(c)
	require.NoError(t, err)
	require.Greater(t, w.config.StopTimeout, hook.MaxTimeout)
	c.StopTimeout = time.Second
	w, err = New(c)
	require.NoError(t, err)
	require.Equal(t, time.Second, w.config.StopTimeout)
}

// names records the registered names.
type names struct{ workflows, activities []string }

func (n *names) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	n.workflows = append(n.workflows, o.Name)
}

func (n *names) RegisterActivityWithOptions(_ any, o activity.RegisterOptions) {
	n.activities = append(n.activities, o.Name)
}

// Histories hold the names, so every workflow and activity has a fixed one.
func TestRegister(t *testing.T) {
	t.Parallel()
	c := setup(t)
	var n names
	Register(&n, c.Workflows, c.Activities)
	require.Equal(t, []string{"Deliver", "DeliverSlices", "SendNow", "Drain", "Replay", "DeleteTenant"}, n.workflows)
	require.Equal(t, []string{"Deliver", "DeliverFirst", "Drain", "Replay", "DeleteTenant", "SendNow"}, n.activities)
}

// The SDK panics on options and registrations that it does not accept.
func TestBuildIsTakenByTheSDK(t *testing.T) {
	t.Parallel()
	w, err := New(setup(t))
	require.NoError(t, err)
	require.NotPanics(t, func() { w.build(make(chan error, 1)) })
}

// A worker that can't start returns an error.
func TestRunWithoutTemporal(t *testing.T) {
	t.Parallel()
	w, err := New(setup(t))
	require.NoError(t, err)
	require.ErrorContains(t, w.Run(t.Context()), "start worker: ")
}
