package storage

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What was found is kept for a minute, and no more of it than a process can afford.
func TestRecollection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r recollection[int, string]
		_, ok := r.find(0)
		require.False(t, ok)
		r.keep(0, "a")
		r.keep(0, "b")
		v, ok := r.find(0)
		require.True(t, ok)
		require.Equal(t, "b", v)

		time.Sleep(recallFor - time.Nanosecond) //nolint:forbidigo // the bubble's
		r.keep(1, "c")
		_, ok = r.find(0)
		require.True(t, ok)
		time.Sleep(time.Nanosecond) //nolint:forbidigo // the bubble's
		_, ok = r.find(0)
		require.False(t, ok)
		_, ok = r.find(1)
		require.True(t, ok)

		for i := range 2 * mostRecalled {
			r.keep(i, "d")
			require.LessOrEqual(t, len(r), mostRecalled)
			_, ok = r.find(i)
			require.True(t, ok)
		}
	})
}
