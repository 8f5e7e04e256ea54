package app

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// The memory limit is GOMEMLIMIT.
func TestMemoryLimit(t *testing.T) { //nolint:paralleltest // the limit is global to the process
	before := debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	require.Zero(t, memoryLimit())
	debug.SetMemoryLimit(3 << 30)
	require.EqualValues(t, 3<<30, memoryLimit())
}
