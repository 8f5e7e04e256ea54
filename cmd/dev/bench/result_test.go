package bench_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

func TestLatencyIsTheNearestRank(t *testing.T) {
	t.Parallel()
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(i+1)*time.Millisecond)
	}
	rand.Shuffle(len(times), func(i, j int) { times[i], times[j] = times[j], times[i] })
	l := bench.NewLatency(times)
	require.Equal(t, 200, l.Count)
	require.InDelta(t, 100, l.P50, 0)
	require.InDelta(t, 180, l.P90, 0)
	require.InDelta(t, 198, l.P99, 0)
	require.InDelta(t, 200, l.Max, 0)
	require.Len(t, l.Curve, 201)
	require.InDelta(t, 1, l.Curve[0], 0)
	require.InDelta(t, 14, l.Curve[14], 0, "7 % of 200 are 14, whatever floating point makes of it")
	require.InDelta(t, 200, l.Curve[200], 0)
}

func TestLatencyOfFewTimes(t *testing.T) {
	t.Parallel()
	require.Equal(t, bench.Latency{}, bench.NewLatency(nil))
	one := bench.NewLatency([]time.Duration{3 * time.Millisecond})
	require.InDelta(t, 3, one.P50, 0)
	require.InDelta(t, 3, one.P99, 0)
}

func TestMedianIsARunAndAddsUpFailures(t *testing.T) {
	t.Parallel()
	run := func(rate, latency float64, lost int) []bench.Result {
		return []bench.Result{
			{Case: bench.CaseSaturation, SustainedPerSecond: rate, Lost: lost},
			{Case: bench.CaseIdle, SustainedPerSecond: 20, Receive: bench.Latency{P50: latency}},
		}
	}
	rows := bench.Median([][]bench.Result{run(300, 1, 0), run(100, 9, 2), run(200, 5, 1)})
	require.Len(t, rows, 2)
	require.InDelta(t, 200, rows[0].SustainedPerSecond, 0)
	require.Equal(t, 3, rows[0].Lost, "a loss is one in whichever run")
	require.InDelta(t, 5, rows[1].Receive.P50, 0, "a fixed rate is no result")
	require.Empty(t, bench.Median(nil))
}

func TestOpenScheduleDoesNotDrift(t *testing.T) {
	t.Parallel()
	require.Zero(t, bench.Open(0, 3))
	require.Equal(t, time.Second, bench.Open(3, 3))
	require.Equal(t, time.Hour, bench.Open(3*3600, 3), "a third of a second has no end in nanoseconds, and it must not add up")
	require.Equal(t, 50*time.Millisecond, bench.Open(1, 20))
}

// The delivery that fails first still has an attempt left when the receiver is back.
func TestOutageScheduleOutlastsTheOutage(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{500 * time.Millisecond, 10 * time.Second, time.Minute} {
		delays := bench.OutageSchedule(outage)
		require.Len(t, delays, 4)
		var sum time.Duration
		for _, d := range delays {
			sum += d
		}
		require.Equal(t, outage*3/2, sum)
	}
}

// Long cases run only when they are named.
func TestLongCasesAreNotTheDefault(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, bench.Cases(), append(bench.DefaultCases(), bench.LongCases()...))
	for _, name := range bench.LongCases() {
		require.NotContains(t, bench.DefaultCases(), name)
	}
}

func TestCheckCasesNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	require.NoError(t, bench.CheckCases(bench.Cases()))
	require.NoError(t, bench.CheckCases([]string{bench.CaseWide, bench.CaseMany, bench.CaseSoak}))
	require.ErrorContains(t, bench.CheckCases([]string{"all"}), "not by default, wide, many, curve, tenants, deletion, away, soak")
	require.ErrorContains(t, bench.CheckCases([]string{"idle", "idel", "x"}), "idel, x")
}
