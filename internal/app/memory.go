package app

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times what is alive before it is collected;
// Go's default is twice. What is alive is little, a few tens of MiB at saturation, and
// collecting it half as often saves a tenth of the processor time
// (cmd/dev/BENCHMARKS.md).
const gcPercent = 200

// TuneMemory sets the process's garbage collector, unless GOGC is set in the
// environment. GOMEMLIMIT is the operator's: only they know what else is to fit.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
