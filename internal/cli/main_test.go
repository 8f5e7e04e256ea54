package cli

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain removes the developer's own settings from the environment of the tests.
func TestMain(m *testing.M) {
	if err := os.Unsetenv("GRAPNEL_SECRET"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
