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

	"grapnel/cmd/dev/bench"
	"grapnel/cmd/dev/program"
)

// The benchmark starts and measures its own stack, and loses no event.
func TestBench(t *testing.T) {
	t.Setenv(childEnv, "1") // the stack's processes run this binary
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	file, charts := filepath.Join(dir, "bench.json"), filepath.Join(dir, "charts")
	var stdout, stderr bytes.Buffer
	require.NoError(t, program.Run(ctx, []string{
		"bench", "--seconds=1", "--warm-up=300ms", "--case=floor,saturation,idle", "--publishers=8", "--json=" + file, "--svg=" + charts,
	}, &stdout, &stderr), "%s", &stderr)

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var report bench.Report
	require.NoError(t, json.Unmarshal(text, &report))
	require.Equal(t, "fsync=on, synchronous_commit=on, full_page_writes=on", report.Machine.Durability)
	var names []string
	for _, row := range report.Results {
		names = append(names, row.Case)
		require.Positive(t, row.Events, row.Case)
		require.Equal(t, row.Expected, row.Deliveries, row.Case)
		require.Empty(t, row.Errors, row.Case)
		require.Contains(t, stdout.String(), row.Case)
	}
	require.Equal(t, []string{"floor", "floor idle", "saturation", "idle"}, names)
	require.Positive(t, report.Results[2].Floor)
	for _, process := range []string{"grapnel", "temporal", "postgres"} {
		require.Contains(t, report.Results[2].CPU, process)
	}
	drawn, err := filepath.Glob(filepath.Join(charts, "*.svg"))
	require.NoError(t, err)
	require.Len(t, drawn, 8)
}

func TestBenchRefusesWrongFlags(t *testing.T) {
	for _, flag := range []string{"--case=idel", "--seconds=0", "--payload=10", "--processes=many", "--webhooks=0", "--soak=0s", "--soak-rate=-1", "--case=all", "--nonsense"} {
		require.Error(t, program.Run(t.Context(), []string{"bench", flag}, &bytes.Buffer{}, &bytes.Buffer{}), flag)
	}
	var help bytes.Buffer
	require.NoError(t, program.Run(t.Context(), []string{"bench", "--help"}, &help, &help))
	require.Contains(t, help.String(), "isolation")
	require.Contains(t, help.String(), "soak-rate")
}
