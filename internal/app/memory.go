package app

import (
	"math"
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times what is alive before it is collected;
// Go's default is twice. What is alive is little, a few tens of MiB at saturation, and
// collecting it half as often saves a tenth of the processor time
// (docs/adr/0008-process-settings.md).
const gcPercent = 200

// TuneMemory sets the process's garbage collector, unless GOGC is set in the
// environment. GOMEMLIMIT is the operator's: only they know what else is to fit.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// memoryLimit is GOMEMLIMIT, in bytes; 0 where there is none.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1) // which only reads it
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}
