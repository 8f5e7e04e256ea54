package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/crash"
	"grapnel/cmd/dev/program"
)

// Spec 10: the crash suite in short. Random damage of every kind while events are published, then an account of
// every event.
func TestCrash(t *testing.T) {
	row, out := crashRow(t, "--damage=all", "--seed=3", "--minutes=0.14")
	require.Empty(t, row.Violations)
	require.Zero(t, row.Lost)
	require.GreaterOrEqual(t, row.Strikes, 5)
	require.Positive(t, row.Killed)
	require.Greater(t, row.Accepted, 100)
	require.Greater(t, row.Deliveries, row.Accepted)
	require.Positive(t, row.AcceptedMeanwhile)
	require.Contains(t, out, "| all ")
}

// The damages that have their own expectation, in short: one stage of each damage that can be short, in turn.
func TestCrashInTurn(t *testing.T) {
	row, out := crashRow(t, "--only=in-turn", "--seed=1")
	require.Empty(t, row.Violations)
	require.Zero(t, row.Lost)
	require.Equal(t, crash.Of(crash.InTurn).Stages, row.Strikes)
	require.Greater(t, row.Accepted, 100)
	require.GreaterOrEqual(t, len(row.Measured), row.Strikes)
	require.Contains(t, out, "| in-turn ")
}

// crashRow runs the crash suite and returns the only row of its report, and its output.
func crashRow(t *testing.T, args ...string) (row crash.Row, out string) {
	t.Helper()
	t.Setenv(childEnv, "1") // the stack's processes run this binary
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	dir := t.TempDir()
	file := filepath.Join(dir, "crash.json")
	var stdout, stderr bytes.Buffer
	err := program.Run(ctx, append([]string{"crash", "--json=" + file, "--keep=" + dir}, args...), &stdout, &stderr)
	require.NoError(t, err, "%s\n%s", &stdout, &stderr)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var report crash.Report
	require.NoError(t, json.Unmarshal(text, &report))
	require.Len(t, report.Rows, 1)
	t.Log(stdout.String())
	return report.Rows[0], stdout.String()
}

func TestCrashRefusesWrongFlags(t *testing.T) {
	for _, flag := range []string{"--damage=wroker", "--only=wroker", "--full-rate=0", "--minutes=0", "--rate=0", "--drain=0s", "--window=-1s", "--seed=x", "--nonsense"} {
		require.Error(t, program.Run(t.Context(), []string{"crash", flag}, &bytes.Buffer{}, &bytes.Buffer{}), flag)
	}
	var help bytes.Buffer
	require.NoError(t, program.Run(t.Context(), []string{"crash", "--help"}, &help, &help))
	require.Contains(t, help.String(), "temporal-lost")
	require.Contains(t, help.String(), "two-connections")
}
