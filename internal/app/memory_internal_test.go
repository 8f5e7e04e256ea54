package app

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// What deliveries may hold depends on GOMEMLIMIT.
func TestMemoryLimit(t *testing.T) { //nolint:paralleltest // the limit is the process's
	before := debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	require.Zero(t, memoryLimit())
	debug.SetMemoryLimit(3 << 30)
	require.EqualValues(t, 3<<30, memoryLimit())
}
