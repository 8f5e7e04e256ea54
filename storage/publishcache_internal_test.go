package storage

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A cached look-up is kept for a minute, and the size of the cache is limited.
func TestCacheMap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r cacheMap[int, string]
		_, ok := r.get(0)
		require.False(t, ok)
		r.put(0, "a")
		r.put(0, "b")
		v, ok := r.get(0)
		require.True(t, ok)
		require.Equal(t, "b", v)

		time.Sleep(cacheFor - time.Nanosecond) //nolint:forbidigo // the bubble's clock
		r.put(1, "c")
		_, ok = r.get(0)
		require.True(t, ok)
		time.Sleep(time.Nanosecond) //nolint:forbidigo // the bubble's clock
		_, ok = r.get(0)
		require.False(t, ok)
		_, ok = r.get(1)
		require.True(t, ok)

		for i := range 2 * maxCached {
			r.put(i, "d")
			require.LessOrEqual(t, r.entries.Len(), maxCached)
		}
		for i := range 2 * maxCached {
			_, ok = r.get(i)
			require.Equal(t, i >= maxCached, ok, "the entries that were used least recently made room")
		}
	})
}
