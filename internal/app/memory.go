package app

import (
	"math"
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times the live data before a collection;
// Go's default is twice. There is little live data, a few tens of MiB at saturation, and
// collecting half as often saves a tenth of the processor time
// (docs/adr/0008-process-settings.md).
const gcPercent = 200

// TuneMemory sets the process's garbage collector, unless GOGC is set in the
// environment. Only the operator sets GOMEMLIMIT, who knows what else needs memory.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// memoryLimit returns GOMEMLIMIT in bytes; 0 if it is not set.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1) // a negative limit only reads the current one
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}
