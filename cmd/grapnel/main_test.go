package main

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"grapnel/internal/pgtest"
	"grapnel/storage/pgtemplate"
)

// TestMain removes the developer's own settings from the environment of the tests.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_DATABASE_URL") == "" {
		must(os.Setenv("TEST_DATABASE_URL", os.Getenv("DATABASE_URL")))
	}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if name == "DATABASE_URL" || strings.HasPrefix(name, "GRAPNEL_") || strings.HasPrefix(name, "TEMPORAL_") {
			must(os.Unsetenv(name))
		}
	}
	goleak.VerifyTestMain(pgtest.Main{M: m, Template: pgtemplate.Whole()})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
