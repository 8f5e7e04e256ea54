package bench_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

func TestCurveHasARowForEachRate(t *testing.T) {
	t.Parallel()
	spec := setupScale(t, bench.CaseCurve)
	spec.Rates = []float64{50, 200}
	rows, err := bench.Run(t.Context(), spec)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	for i, want := range []struct {
		name   string
		events int
	}{{"curve 50", 5}, {"curve 200", 20}} {
		r := rows[i]
		require.Equal(t, want.name, r.Case)
		require.False(t, r.Failed(), "%+v", r)
		require.Empty(t, r.Errors)
		require.Equal(t, want.events, r.Events)
		require.Equal(t, want.events, r.Deliveries)
		require.InDelta(t, spec.Rates[i], r.Point.Rate, 0)
		require.Nil(t, r.Point.WorkflowsPerEvent, "without a database nothing is counted")
	}
	require.Contains(t, rows[0].Note, "without load")
	require.Empty(t, rows[1].Note)
}

func TestPartsOfAStack(t *testing.T) {
	t.Parallel()
	postgres := map[string]float64{"postgres": 1, "postgres grapnel": 2, "postgres temporal": 4, "postgres temporal_visibility": 8}
	for name, c := range map[string]struct{ processes, want map[string]float64 }{
		"product": {map[string]float64{"grapnel": 1, "temporal": 2}, map[string]float64{"product": 1, "temporal": 2}},
		"split":   {map[string]float64{"api": 1, "worker": 2, "temporal": 4}, map[string]float64{"product": 3, "temporal": 4}},
		"pairs":   {map[string]float64{"api 1": 1, "api 2": 2, "worker 1": 4, "worker 2": 8}, map[string]float64{"product": 15}},
		"one":     {map[string]float64{"stack": 1}, map[string]float64{"stack": 1}},
	} {
		for process, used := range postgres {
			c.processes[process] = used
		}
		c.want["postgres"] = 15
		require.Equal(t, c.want, bench.Parts(c.processes), name)
	}
	require.Empty(t, bench.Parts(nil))
}

// curveReport returns a report of a curve with two rates, beside the floor.
func curveReport() *bench.Report {
	row := func(name string, rate float64, workflows int64, each, p50, p99 float64) bench.Result {
		return bench.Result{
			Case: name, Seconds: 1, AcceptedPerSecond: rate, Receive: bench.Latency{P50: p50, P99: p99}, CPU: map[string]float64{"grapnel": 1, "temporal": 2, "postgres": 4},
			Point: &bench.Point{Rate: rate, Workflows: &workflows, WorkflowsPerEvent: &each, CPU: map[string]float64{"product": 1, "temporal": 2, "postgres": 4}},
		}
	}
	return &bench.Report{Results: []bench.Result{
		{Case: "floor idle", Seconds: 1, AcceptedPerSecond: 20, Receive: bench.Latency{P50: 2, P99: 3}, CPU: map[string]float64{"floor": 0.5}},
		row("curve 20", 20, 20, 1, 11, 16), row("curve 1600", 1600, 8, 0.005, 120, 345),
	}}
}

func TestReportTellsOfTheCurve(t *testing.T) {
	t.Parallel()
	r := curveReport()
	r.Compare()
	require.InDelta(t, 5.5, r.Results[1].Ratio, 1e-9)
	require.Equal(t, "p50 is 5.5 times the floor's", r.Results[1].Note)
	require.Zero(t, r.Results[2].Ratio, "the floor was measured at 20 a second")
	require.Zero(t, r.Results[1].Floor, "a fixed rate is no share of the floor's")
	var b strings.Builder
	require.NoError(t, r.Write(&b))
	for _, want := range []string{
		`rate +accepted/s +p50 ms +p99 +CPU ms +postgres +product +temporal +workflows/event +drain s +lost +dup`,
		`floor at 20 +20 +2.00 +3.00 +0.50 +- +- +- +- +0.0 +0 +0`,
		`  20 +20 +11.0 +16.0 +7.00 +4.00 +1.00 +2.00 +1.000 +0.0 +0 +0`,
		`1600 +1600 +120 +345 +7.00 +4.00 +1.00 +2.00 +0.005 +0.0 +0 +0`,
	} {
		require.Regexp(t, want, b.String())
	}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(text), `"point":{"rate":1600,"workflows":8,"workflows_per_event":0.005,"cpu_ms_per_event_by_part":{"postgres":4,"product":1,"temporal":2}}`)
}

func TestReportOfACurveWithoutMeasurements(t *testing.T) {
	t.Parallel()
	r := bench.Report{Results: []bench.Result{{Case: "curve 20", Seconds: 1, Point: &bench.Point{Rate: 20}}}}
	var b strings.Builder
	require.NoError(t, r.Write(&b))
	require.Regexp(t, `rate +accepted/s +p50 ms +p99 +CPU ms +workflows/event`, b.String())
	require.NotContains(t, bench.CurveCharts(&r), "workflows")
}
