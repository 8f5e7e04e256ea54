package cli

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain keeps the developer's own environment from being the tests'.
func TestMain(m *testing.M) {
	if err := os.Unsetenv("GRAPNEL_SECRET"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
