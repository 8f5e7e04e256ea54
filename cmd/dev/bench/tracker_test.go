package bench_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

// toAll returns a function that sends every event to n endpoints.
func toAll(n int) func(int) (int, int) { return func(int) (int, int) { return 0, n } }

const second = time.Second

func TestTrackerFindsLossesAndDuplicates(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker()
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
	// The publisher got no 202, so nothing was promised: the receipt is neither a loss nor a duplicate.
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
	track := bench.NewTracker()
	n := track.Begin(0, toAll(1))
	track.Receive(n, 0, 5*time.Millisecond)
	require.Zero(t, track.Outstanding())
	track.Accept(n, 10*time.Millisecond)
	require.Zero(t, track.Outstanding())
}

func TestTrackerCountsStrays(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker()
	n := track.Begin(0, func(int) (int, int) { return 1, 1 })
	track.Accept(n, 1)
	track.Receive(n, 0, 2)  // not one of its endpoints
	track.Receive(n, 2, 2)  // no such endpoint
	track.Receive(7, 1, 2)  // no such event
	track.Receive(-1, 1, 2) // not a number of an event
	var r bench.Result
	track.Fill(&r, 0, second)
	require.Equal(t, 4, r.Strays)
	require.Equal(t, 1, r.Lost)
}

func TestTrackerMeasuresTheWindowOnly(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker()
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

func TestTrackerSortsReceiptsIntoMinutes(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker()
	publish := func(at time.Duration, took ...time.Duration) {
		n := track.Begin(at, toAll(2))
		track.Accept(n, at)
		for endpoint, latency := range took {
			track.Receive(n, endpoint, at+latency)
		}
	}
	const begin = 10 * second
	publish(begin-1, second, second) // in the warm-up
	publish(begin, 10*time.Millisecond, 30*time.Millisecond)
	publish(begin+time.Minute-1, 20*time.Millisecond, 2*time.Minute) // counts in the minute in which it was due
	publish(begin + time.Minute)                                     // lost
	publish(begin+2*time.Minute, 40*time.Millisecond)
	publish(begin+3*time.Minute, second, second) // after the window
	track.Begin(begin+2*time.Minute, toAll(2))   // not accepted
	require.Equal(t, []bench.Minute{
		{Minute: 1, Deliveries: 4, P50: 20, P99: 120_000, Max: 120_000},
		{Minute: 2},
		{Minute: 3, Deliveries: 1, P50: 40, P99: 40, Max: 40},
	}, track.Minutes(begin, begin+3*time.Minute))
	require.Empty(t, track.Minutes(time.Hour, 2*time.Hour))
}

// Among many events that go to one endpoint each, an event takes memory for its own delivery only.
func TestTrackerOfManyEndpoints(t *testing.T) {
	t.Parallel()
	track := bench.NewTracker()
	const endpoints = 5000
	for n := range endpoints {
		require.Equal(t, n, track.Begin(0, func(n int) (int, int) { return n, 1 }))
		track.Accept(n, 1)
		track.Receive(n, n, 2)
	}
	require.Zero(t, track.Outstanding())
	require.Equal(t, endpoints, track.Events())
	require.Equal(t, time.Duration(2), track.LastReceived(1))
}
