package bench_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

func TestSlopeIsOfTheLeastSquares(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		points [][2]float64
		want   float64
	}{
		"a line":           {[][2]float64{{1, 5}, {2, 7}, {3, 9}}, 2},
		"level":            {[][2]float64{{1, 5}, {2, 5}}, 0},
		"falling":          {[][2]float64{{0, 3}, {10, -2}}, -0.5},
		"not on a line":    {[][2]float64{{0, 0}, {1, 3}, {2, 0}, {3, 3}}, 0.6},
		"far from nothing": {[][2]float64{{1e6, 1e9}, {1e6 + 1, 1e9 + 1}, {1e6 + 2, 1e9 + 2}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slope, ok := bench.Slope(c.points)
			require.True(t, ok)
			require.InDelta(t, c.want, slope, 1e-6)
		})
	}
	for name, points := range map[string][][2]float64{"nothing": nil, "one point": {{1, 2}}, "one x": {{1, 2}, {1, 3}}} {
		_, ok := bench.Slope(points)
		require.False(t, ok, name)
	}
}

// twoMinutes returns a soak whose p99 rises and whose memory does not.
func twoMinutes() *bench.Soak {
	return &bench.Soak{
		Rate:    100,
		Minutes: []bench.Minute{{Minute: 1, Deliveries: 6000, P50: 4, P99: 10}, {Minute: 2}, {Minute: 3, Deliveries: 6000, P50: 4, P99: 14}},
		Samples: []bench.Sample{
			{
				Memory: map[string]float64{"grapnel": 100}, Outbox: 3, Outstanding: 4,
				Tables:    map[string]bench.Table{"deliveries": {Live: 10}},
				Databases: map[string]int64{"grapnel": 1 << 20},
			},
			{
				Seconds: 180, Memory: map[string]float64{"grapnel": 101},
				Tables:    map[string]bench.Table{"deliveries": {Live: 1000, Dead: 50, Bytes: 3 << 20}, "outbox": {Dead: 70}},
				Databases: map[string]int64{"grapnel": 1<<20 + 24000, "temporal": 5},
			},
		},
	}
}

func TestSoakSummary(t *testing.T) {
	t.Parallel()
	s := twoMinutes()
	s.Summarize(12_000)
	require.InDelta(t, 2, *s.Summary.P99PerMinute, 1e-9, "the minute without deliveries is no point of the line")
	require.InDelta(t, 1./3, s.Summary.MemoryPerMinute["grapnel"], 1e-9)
	require.Equal(t, map[string]float64{"deliveries": 0.05}, s.Summary.DeadShare, "there is no share of nothing")
	require.Equal(t, map[string]float64{"grapnel": 2}, s.Summary.BytesPerEvent, "growth is from the first sample")
}

func TestSoakSummaryOfLittle(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*bench.Soak{
		"nothing":    {},
		"one minute": {Minutes: []bench.Minute{{Minute: 1, Deliveries: 1, P99: 3}}, Samples: []bench.Sample{{Memory: map[string]float64{"grapnel": 1}}}},
	} {
		s.Summarize(0)
		require.Nil(t, s.Summary.P99PerMinute, name)
		require.Empty(t, s.Summary.MemoryPerMinute, name)
		require.Empty(t, s.Summary.BytesPerEvent, name)
		_, err := json.Marshal(s)
		require.NoError(t, err, "%s: JSON has no NaN", name)
	}
}

func TestReportTellsOfTheSoak(t *testing.T) {
	t.Parallel()
	s := twoMinutes()
	s.Summarize(12_000)
	r := bench.Report{Results: []bench.Result{{Case: bench.CaseSoak, Seconds: 180, Soak: s}, {Case: bench.CaseSoak, Seconds: 1, Soak: &bench.Soak{}}}}
	var b strings.Builder
	require.NoError(t, r.Write(&b))
	for _, want := range []string{
		"soak at 100 events/s, 3 minutes and 2 samples", "1000 + 50, 3.0",
		"The p99 of a minute rises by 2.00 ms a minute, 4.00 ms over 2.0 minutes, around 12.0 ms.",
		"The memory of grapnel stays level around 100 MiB (+0.33 MiB a minute).",
		"for 100 live ones: deliveries 5.0.", "grapnel 2.",
	} {
		require.Contains(t, b.String(), want)
	}
	require.Equal(t, 1, strings.Count(b.String(), "soak at"), "what was not sampled has no block")
}
