package bench_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

// toAll sends every event to a number of endpoints.
func toAll(n int) func(int) (int, int) { return func(int) (int, int) { return 0, n } }

const second = time.Second

func TestTrackerFindsLossesAndDuplicates(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker(2)
	all := toAll(2)
	arrived, lost, twice, refused := track.Begin(0, all), track.Begin(0, all), track.Begin(0, all), track.Begin(0, all)
	for _, n := range []int{arrived, lost, twice} {
		track.Accept(n, 10*time.Millisecond)
	}
	for _, n := range []int{arrived, twice, twice} {
		track.Receive(n, 0, 20*time.Millisecond)
		track.Receive(n, 1, 30*time.Millisecond)
	}
	track.Receive(lost, 0, 20*time.Millisecond)
	// Its publisher got no answer, and nothing was promised: neither lost nor a duplicate.
	track.Receive(refused, 0, 20*time.Millisecond)
	require.Equal(t, 1, track.Outstanding())

	var r bench.Result
	track.Fill(&r, 0, second)
	require.Equal(t, 1, r.Lost)
	require.Equal(t, 2, r.Duplicates)
	require.Equal(t, 3, r.Events)
	require.Equal(t, 6, r.Expected)
	require.Equal(t, 5, r.Deliveries)
	require.Zero(t, r.Strays)
	require.True(t, r.Failed())
}

func TestTrackerTakesADeliveryBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker(1)
	n := track.Begin(0, toAll(1))
	track.Receive(n, 0, 5*time.Millisecond)
	require.Zero(t, track.Outstanding())
	track.Accept(n, 10*time.Millisecond)
	require.Zero(t, track.Outstanding())
}

func TestTrackerCountsStrays(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker(2)
	n := track.Begin(0, func(int) (int, int) { return 1, 1 })
	track.Accept(n, 1)
	track.Receive(n, 0, 2)  // not its endpoint
	track.Receive(n, 2, 2)  // no endpoint
	track.Receive(7, 1, 2)  // no event
	track.Receive(-1, 1, 2) // no number
	var r bench.Result
	track.Fill(&r, 0, second)
	require.Equal(t, 4, r.Strays)
	require.Equal(t, 1, r.Lost)
}

func TestTrackerMeasuresTheWindowOnly(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker(1)
	for _, at := range []time.Duration{second / 2, second, 3 * second / 2, 5 * second / 2} {
		n := track.Begin(at, toAll(1))
		track.Accept(n, at+100*time.Millisecond)
		track.Receive(n, 0, at+700*time.Millisecond)
	}
	var r bench.Result
	track.Fill(&r, second, 3*second)
	require.Equal(t, 3, r.Events)
	require.Equal(t, 4, r.Published)
	require.InDelta(t, 1.5, r.AcceptedPerSecond, 1e-9)
	require.InDelta(t, 1.5, r.DeliveredPerSecond, 1e-9, "the warm-up's event came in the window, the last after it")
	require.Equal(t, []int{2, 1}, r.Accepted)
	require.Equal(t, []int{2, 1, 1}, r.Received)
	require.InDelta(t, 700, r.Receive.P50, 1e-9)
	require.InDelta(t, 100, r.Accept.P99, 1e-9)
	require.Equal(t, 3200*time.Millisecond, track.LastReceived(3*second))
	require.Equal(t, 2200*time.Millisecond, track.LastReceived(2*second))
}
