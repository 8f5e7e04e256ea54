package delivery

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// However many functions there are, each begins at once. A goroutine that is done stays for the
// next function, but not for ever.
func TestGoroutinePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan struct{})
		c := newGoroutinePool(func() <-chan struct{} { return stopped })
		waits := func() bool {
			synctest.Wait()
			select {
			case c.next <- func() {}:
				synctest.Wait()
				return true
			default:
				return false
			}
		}
		require.False(t, waits(), "no goroutine yet")

		var begun atomic.Int32
		finish := make(chan struct{})
		for range 100 {
			c.do(func() {
				begun.Add(1)
				<-finish
			})
		}
		synctest.Wait()
		require.EqualValues(t, 100, begun.Load())
		require.False(t, waits(), "all are busy")
		close(finish)
		require.True(t, waits())

		<-time.After(poolPatience + time.Nanosecond)
		require.False(t, waits(), "nothing came for a while")

		c.do(func() {})
		require.True(t, waits())
		close(stopped)
		require.False(t, waits())

		stopped = make(chan struct{}) // the worker runs again
		c.do(func() {})
		require.True(t, waits())
		close(stopped)
	})
}
