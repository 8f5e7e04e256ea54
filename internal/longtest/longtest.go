// Package longtest keeps go test ./... short. Tests that take long run only with GRAPNEL_TEST_LONG=1, and others do more
// with it. CI sets it. Only tests import the package.
package longtest

import "os"

// Env is the variable of the environment with which the long tests run.
const Env = "GRAPNEL_TEST_LONG"

// On reports whether the long tests run.
func On() bool { return os.Getenv(Env) != "" }

// Only skips the test unless the long tests run: for a test that takes about a second or more, and proves something that
// seldom changes.
func Only(tb interface {
	Helper()
	Skip(args ...any)
},
) {
	tb.Helper()
	if !On() {
		tb.Skip("takes long: set " + Env + "=1")
	}
}

// Size returns how much a test does: short, or long if the long tests run.
func Size(short, long int) int {
	if On() {
		return long
	}
	return short
}
