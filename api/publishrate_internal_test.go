package api

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// K7: a bucket holds the events of one second and is filled at the rate. What is refused says when to come again.
func TestPublishRates(t *testing.T) {
	t.Parallel()
	r, now := newPublishRates(10), time.Unix(1_800_000_000, 0)
	one, other := hook.TenantID{1}, hook.TenantID{2}
	take := func(tenant hook.TenantID, own *int, n, want int, wait time.Duration) {
		t.Helper()
		granted, err := r.take(tenant, own, n, now)
		require.Equal(t, want, granted)
		if wait == 0 {
			require.NoError(t, err)
			return
		}
		var e *hook.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, hook.KindRateLimited, e.Kind)
		require.InDelta(t, wait, e.RetryAfter, float64(2*time.Millisecond))
	}
	take(one, nil, 7, 7, 0)
	take(one, nil, 7, 3, 100*time.Millisecond)
	take(one, nil, 1, 0, 100*time.Millisecond)
	take(other, nil, 10, 10, 0)
	now = now.Add(250 * time.Millisecond)
	take(one, nil, 5, 2, 50*time.Millisecond)
	now = now.Add(time.Hour)
	take(one, nil, 100, 10, 100*time.Millisecond)

	// The tenant's own limit, which changes while it publishes.
	five, none, half := 5, 0, 1
	take(one, &none, 1000, 1000, 0)
	take(hook.TenantID{3}, &five, 9, 5, 200*time.Millisecond)
	now = now.Add(time.Hour)
	take(one, &five, 100, 5, 200*time.Millisecond)
	take(one, &half, 1, 0, time.Second)
	now = now.Add(time.Second)
	take(one, &half, 1, 1, 0)
	take(one, nil, 0, 0, 0)
}

// The buckets of many tenants are bounded, and so is what concurrent requests of one tenant take.
func TestPublishRatesAreBounded(t *testing.T) {
	t.Parallel()
	r, now := newPublishRates(100), time.Unix(1_800_000_000, 0)
	for n := range 2 * mostRates {
		granted, err := r.take(hook.TenantID{byte(n >> 16), byte(n >> 8), byte(n)}, nil, 1, now)
		require.NoError(t, err)
		require.Equal(t, 1, granted)
	}
	require.Equal(t, mostRates, r.of.Len())

	var wg sync.WaitGroup
	var all atomic.Int64
	for range 50 {
		wg.Go(func() {
			granted, _ := r.take(hook.TenantID{15: 1}, nil, 7, now)
			all.Add(int64(granted))
		})
	}
	wg.Wait()
	require.EqualValues(t, 100, all.Load())
}
