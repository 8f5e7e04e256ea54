package hook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func TestLatencyBuckets(t *testing.T) {
	t.Parallel()
	last := 0
	for d := time.Duration(0); d < time.Minute; d += 100 * time.Microsecond {
		bucket := hook.LatencyBucket(d)
		require.GreaterOrEqual(t, bucket, last)
		require.LessOrEqual(t, bucket, last+1)
		last = bucket
	}
	require.Equal(t, hook.LatencyBuckets-1, last)
	require.Zero(t, hook.LatencyBucket(-time.Second))
	require.Zero(t, hook.LatencyBucket(time.Millisecond-1))
	require.Equal(t, 1, hook.LatencyBucket(time.Millisecond))
	require.Equal(t, hook.LatencyBuckets-1, hook.LatencyBucket(time.Hour))
	require.Equal(t, hook.LatencyBuckets-2, hook.LatencyBucket(30*time.Second))
}

// A percentile lies in the bucket of the right duration.
func TestPercentile(t *testing.T) {
	t.Parallel()
	var none hook.Latencies
	_, ok := none.Percentile(0.5)
	require.False(t, ok)
	for _, longest := range []int{2, 10, 77, 1000, 20_000} {
		var l hook.Latencies
		for ms := range longest {
			l[hook.LatencyBucket(time.Duration(ms)*time.Millisecond)]++
		}
		for _, share := range []float64{0.01, 0.1, 0.5, 0.9, 0.99, 1} {
			got, ok := l.Percentile(share)
			require.True(t, ok)
			want := share * float64(longest)
			require.LessOrEqual(t, got, max(1, want*1.6), "%v of %d ms", share, longest)
			require.GreaterOrEqual(t, got+1, want/1.6, "%v of %d ms", share, longest)
		}
	}
	one := hook.Latencies{hook.LatencyBuckets - 1: 1}
	got, ok := one.Percentile(0.99)
	require.True(t, ok)
	require.Greater(t, got, 30_000.0)
}

func TestStatsAdd(t *testing.T) {
	t.Parallel()
	s := hook.Stats{Delivered: 1, Failed: 2, Attempts: 3, FailedAttempts: 4, Latencies: hook.Latencies{0: 5, 23: 6}}
	s.Add(&hook.Stats{Delivered: 10, Failed: 20, Attempts: 30, FailedAttempts: 40, Latencies: hook.Latencies{0: 50, 23: 60}})
	require.Equal(t, hook.Stats{Delivered: 11, Failed: 22, Attempts: 33, FailedAttempts: 44, Latencies: hook.Latencies{0: 55, 23: 66}}, s)
}
