package main

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
)

// Spec 10, the crash suite in short: every kind of damage at random while events are
// published, and an account of every one of them.
func TestCrash(t *testing.T) {
	t.Setenv(childEnv, "1") // its processes are this binary
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	dir := t.TempDir()
	file := filepath.Join(dir, "crash.json")
	var stdout, stderr bytes.Buffer
	err := run(ctx, []string{"crash", "--damage=all", "--seed=3", "--minutes=0.14", "--json=" + file, "--keep=" + dir}, &stdout, &stderr)
	require.NoError(t, err, "%s\n%s", &stdout, &stderr)

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var report crash.Report
	require.NoError(t, json.Unmarshal(text, &report))
	require.Len(t, report.Rows, 1)
	row := report.Rows[0]
	require.Empty(t, row.Violations)
	require.Zero(t, row.Lost)
	require.GreaterOrEqual(t, row.Strikes, 5)
	require.Positive(t, row.Killed)
	require.Greater(t, row.Accepted, 100)
	require.Greater(t, row.Deliveries, row.Accepted)
	require.Positive(t, row.AcceptedMeanwhile)
	require.Contains(t, stdout.String(), "| all ")
	t.Log(stdout.String())
}

func TestCrashRefusesWrongFlags(t *testing.T) {
	for _, flag := range []string{"--damage=wroker", "--minutes=0", "--rate=0", "--drain=0s", "--window=-1s", "--seed=x", "--nonsense"} {
		require.Error(t, run(t.Context(), []string{"crash", flag}, &bytes.Buffer{}, &bytes.Buffer{}), flag)
	}
	var help bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"crash", "--help"}, &help, &help))
	require.Contains(t, help.String(), "temporal-lost")
}
