package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// keyOf returns a key of a tenant of its own.
func keyOf(n int) *hook.APIKey {
	id := [16]byte{byte(n >> 16), byte(n >> 8), byte(n)}
	return &hook.APIKey{ID: id, TenantID: id}
}

// Law: in any second at most twice the limit gets through: a full bucket and its refill. Retry-After is exactly the
// time until there is a token.
func TestBucket(t *testing.T) {
	t.Parallel()
	l, key, now := newLimits(&Config{KeyRateLimit: 5}), keyOf(1), time.Unix(1_800_000_000, 0)
	for range 5 {
		require.NoError(t, l.request(key, now))
	}
	for range 100 { // a refused request costs nothing
		var e *hook.Error
		require.ErrorAs(t, l.request(key, now), &e)
		require.Equal(t, hook.KindRateLimited, e.Kind)
		require.InDelta(t, 200*time.Millisecond, e.RetryAfter, float64(time.Millisecond))
	}
	require.Error(t, l.request(key, now.Add(190*time.Millisecond)))
	require.NoError(t, l.request(key, now.Add(201*time.Millisecond)))
	require.Error(t, l.request(key, now.Add(201*time.Millisecond)))
	require.NoError(t, l.request(keyOf(2), now), "each key for itself")
}

// Memory is bounded: quiet keys are dropped, keys over their limit are not.
func TestQuietKeysAreForgotten(t *testing.T) {
	t.Parallel()
	l, now := newLimits(&Config{KeyRateLimit: 5, MaxPolls: 1}), time.Unix(1_800_000_000, 0)
	busy := keyOf(0)
	for n := 1; n <= 20_000; n++ {
		now = now.Add(time.Millisecond)
		require.NoError(t, l.request(keyOf(n), now))
		for l.request(busy, now) == nil {
			continue // until it is over its limit
		}
	}
	require.Less(t, len(l.keys.of), 2_500, "a second's keys, and those since they were last swept")
	require.Error(t, l.request(busy, now))
	for n := range 1000 {
		leave, err := l.wait(keyOf(n))
		require.NoError(t, err)
		_, err = l.wait(keyOf(n))
		require.Equal(t, hook.KindRateLimited, hook.KindOf(err))
		leave()
	}
	require.Empty(t, l.keysWaiting.of)
	require.Empty(t, l.allWaiting.of)
}

// All keys of a tenant share a limit besides their own. Another tenant has another one.
func TestBucketOfATenant(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	of := func(key, tenant byte) *hook.APIKey {
		return &hook.APIKey{ID: hook.KeyID{key}, TenantID: hook.TenantID{tenant}}
	}
	for _, c := range []struct {
		config          Config
		requests, polls int // bounds of a tenant
	}{
		{Config{KeyRateLimit: 2, MaxPolls: 2}, 10, 10},
		{Config{KeyRateLimit: 2, MaxPolls: 2, TenantRateLimit: 3, TenantMaxPolls: 4}, 3, 4},
		{Config{TenantRateLimit: 3, TenantMaxPolls: 4}, 3, 4},
		{Config{}, 40, 40},
	} {
		l := newLimits(&c.config)
		requests, polls := 0, 0
		var leaves []func()
		for n := range 40 { // two for each key
			if err := l.request(of(byte(n/2), 1), now); err == nil {
				requests++
			} else {
				require.ErrorContains(t, err, "the API keys of the account together")
				require.Equal(t, hook.KindRateLimited, hook.KindOf(err))
			}
			if leave, err := l.wait(of(byte(n/2), 1)); err == nil {
				polls++
				leaves = append(leaves, leave)
			} else {
				require.ErrorContains(t, err, "the API keys of the account together")
			}
		}
		require.Equal(t, []int{c.requests, c.polls}, []int{requests, polls})
		require.NoError(t, l.request(of(100, 2), now))
		for _, leave := range leaves {
			leave()
		}
		leave, err := l.wait(of(101, 1))
		require.NoError(t, err)
		leave()
		if l.allWaiting != nil {
			require.Empty(t, l.allWaiting.of)
		}
	}
}

// A tenant may send a second's worth of tests and retries at once, and as many per second. A refused one costs nothing,
// and quiet tenants are dropped.
func TestByHandPerSecond(t *testing.T) {
	t.Parallel()
	l, now := newLimits(&Config{}), time.Unix(1_800_000_000, 0)
	tenant := func(n int) hook.TenantID { return hook.TenantID{byte(n)} }
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
	require.Len(t, l.handsUnderWay.of, 1, "who has something under way is not forgotten")
	busy()
	require.Empty(t, l.handsUnderWay.of)
}
