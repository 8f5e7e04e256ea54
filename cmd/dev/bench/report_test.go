package bench_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

func TestReportComparesRows(t *testing.T) {
	t.Parallel()
	r := bench.Report{Command: "bench --x", Results: []bench.Result{
		{Case: bench.CaseFloor, Seconds: 1, SustainedPerSecond: 1000},
		{Case: "floor idle", Seconds: 1, SustainedPerSecond: 20, Receive: bench.Latency{P50: 2}},
		{Case: bench.CaseSaturation, Seconds: 1, SustainedPerSecond: 200, CPU: map[string]float64{"grapnel": 1, "postgres": 2}},
		{Case: bench.CaseBatch, Note: "not built"},
		{Case: bench.CaseIdle, Seconds: 1, SustainedPerSecond: 20, Receive: bench.Latency{P50: 7}},
		{Case: bench.CaseStored, Seconds: 1, SustainedPerSecond: 150},
	}}
	r.Compare()
	require.InDelta(t, 0.2, r.Results[2].Floor, 1e-9)
	require.Zero(t, r.Results[4].Floor, "a fixed rate is no share of the floor's")
	require.InDelta(t, 3.5, r.Results[4].Ratio, 1e-9)
	require.InDelta(t, 0.75, r.Results[5].Ratio, 1e-9)
	var b strings.Builder
	require.NoError(t, r.Write(&b))
	require.Contains(t, b.String(), "batch: not built")
	require.Contains(t, b.String(), "20.0 %")
	require.Regexp(t, `saturation .* 3\.00 `, b.String(), "the processes' time together")
}

func TestReportFailsOnBrokenPromises(t *testing.T) {
	t.Parallel()
	good := bench.Report{Results: []bench.Result{{Errors: map[string]int{"HTTP 503": 1}}}}
	require.False(t, good.Failed(), "what was not accepted was not promised")
	for _, bad := range []bench.Result{{Lost: 1}, {Duplicates: 1}, {Strays: 1}} {
		r := bench.Report{Results: []bench.Result{{}, bad}}
		require.True(t, r.Failed())
	}
}
