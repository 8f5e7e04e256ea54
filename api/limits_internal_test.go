package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func keyID(n int) hook.KeyID { return hook.KeyID{byte(n >> 16), byte(n >> 8), byte(n)} }

// Law: in any second no more than twice the limit gets through, a full bucket and
// what flows into it; and Retry-After is how long it takes, neither more nor less.
func TestBucket(t *testing.T) {
	t.Parallel()
	l, key, now := newLimits(&Config{KeyRateLimit: 5}), keyID(1), time.Unix(1_800_000_000, 0)
	for range 5 {
		require.NoError(t, l.request(key, now))
	}
	for range 100 { // what is refused costs nothing
		var e *hook.Error
		require.ErrorAs(t, l.request(key, now), &e)
		require.Equal(t, hook.KindRateLimited, e.Kind)
		require.InDelta(t, 200*time.Millisecond, e.RetryAfter, float64(time.Millisecond))
	}
	require.Error(t, l.request(key, now.Add(190*time.Millisecond)))
	require.NoError(t, l.request(key, now.Add(201*time.Millisecond)))
	require.Error(t, l.request(key, now.Add(201*time.Millisecond)))
	require.NoError(t, l.request(keyID(2), now), "each key for itself")
}

// Memory is bounded: keys that have been quiet are forgotten, those that are over
// their limit are not.
func TestQuietKeysAreForgotten(t *testing.T) {
	t.Parallel()
	l, now := newLimits(&Config{KeyRateLimit: 5, MaxPolls: 1}), time.Unix(1_800_000_000, 0)
	busy := keyID(0)
	for n := 1; n <= 20_000; n++ {
		now = now.Add(time.Millisecond)
		require.NoError(t, l.request(keyID(n), now))
		for l.request(busy, now) == nil {
			continue // until it is over its limit
		}
	}
	require.Less(t, len(l.buckets), 2_500, "a second's keys, and those since they were last swept")
	require.Error(t, l.request(busy, now))
	for n := range 1000 {
		leave, err := l.wait(keyID(n))
		require.NoError(t, err)
		_, err = l.wait(keyID(n))
		require.Equal(t, hook.KindRateLimited, hook.KindOf(err))
		leave()
	}
	require.Empty(t, l.waiting)
}

// A tenant sends a second's worth by hand at once, and so many per second; what is refused
// costs nothing, and those who have been quiet are forgotten.
func TestByHandPerSecond(t *testing.T) {
	t.Parallel()
	l, now := newLimits(&Config{}), time.Unix(1_800_000_000, 0)
	tenant := func(n int) hook.TenantID { return hook.TenantID(keyID(n)) }
	send := func(n int) error {
		leave, err := l.byHand(tenant(n), now)
		if err == nil {
			leave()
		}
		return err
	}
	for range handPerSecond {
		require.NoError(t, send(1))
	}
	for range 100 {
		var e *hook.Error
		require.ErrorAs(t, send(1), &e)
		require.Equal(t, hook.KindRateLimited, e.Kind)
		require.InDelta(t, time.Second/handPerSecond, e.RetryAfter, float64(time.Millisecond))
	}
	require.NoError(t, send(2), "each tenant for itself")
	now = now.Add(time.Second/handPerSecond + time.Millisecond)
	require.NoError(t, send(1))
	require.Error(t, send(1))

	busy, err := l.byHand(tenant(3), now)
	require.NoError(t, err)
	now = now.Add(time.Minute)
	require.NoError(t, send(4))
	require.Len(t, l.hands, 2, "who has something under way is not forgotten")
	busy()
}
