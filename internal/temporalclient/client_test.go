package temporalclient_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"grapnel/internal/temporalclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a cluster by the environment alone.
func open(t *testing.T, environment map[string]string) (*temporalclient.Cluster, error) {
	t.Helper()
	t.Setenv("TEMPORAL_CONFIG_FILE", t.TempDir()+"/none.toml")
	for _, name := range []string{"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE", "TEMPORAL_TLS"} {
		t.Setenv(name, environment[name])
	}
	c, err := temporalclient.Open(temporalclient.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

func TestDefaults(t *testing.T) { //nolint:paralleltest // the environment is the process's
	c, err := open(t, nil)
	require.NoError(t, err)
	require.Equal(t, "default", c.Namespace)
	require.Equal(t, "localhost:7233", c.Address)
}

func TestStandardEnvironment(t *testing.T) { //nolint:paralleltest // the environment is the process's
	c, err := open(t, map[string]string{"TEMPORAL_ADDRESS": "temporal.example:7233", "TEMPORAL_NAMESPACE": "webhooks"})
	require.NoError(t, err)
	require.Equal(t, "webhooks", c.Namespace)
	require.Equal(t, "temporal.example:7233", c.Address)
}

func TestBadEnvironment(t *testing.T) { //nolint:paralleltest // the environment is the process's
	_, err := open(t, map[string]string{"TEMPORAL_PROFILE": "nobody"})
	require.ErrorContains(t, err, "temporal configuration")
}

// A process starts while Temporal is away, says so, and stops when told to.
func TestTemporalIsAway(t *testing.T) { //nolint:paralleltest // the environment is the process's
	c, err := open(t, map[string]string{"TEMPORAL_ADDRESS": "127.0.0.1:1"})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, c.Ready(ctx), "temporal at 127.0.0.1:1")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	require.ErrorIs(t, c.AwaitReady(stopped, slog.New(slog.NewTextHandler(io.Discard, nil))), context.Canceled)
}
