// Package longtest says how much the tests do that would otherwise take long because of their amount of data. Set
// GRAPNEL_TEST_LONG=1 for the whole amount, as CI does. Without it such a test proves the same with less. Only tests
// import it.
package longtest

import "os"

// Env is the variable of the environment under which the long tests do all that they can.
const Env = "GRAPNEL_TEST_LONG"

// On reports whether the long tests do all that they can.
func On() bool { return os.Getenv(Env) != "" }

// Size returns how much a test does: short, or long with GRAPNEL_TEST_LONG.
func Size(short, long int) int {
	if On() {
		return long
	}
	return short
}
