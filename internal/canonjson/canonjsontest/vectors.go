// Package canonjsontest reads the known canonical forms of internal/canonjson/testdata for tests.
package canonjsontest

import (
	"encoding/json"
	"os"
	"testing"

	"grapnel/internal/canonjson"
)

// Vectors are the shared test vectors of spec 2. They were made with node and without canonjson.
type Vectors struct {
	Accept []Accepted
	Reject []Rejected
}

// Accepted is a text with a canonical form.
type Accepted struct{ Input, Output string }

// Rejected is a text that has no canonical form.
type Rejected struct {
	Input string
	Why   canonjson.Reason
}

// Load reads the vectors. dir is the path from the test's package to internal/canonjson.
func Load(tb testing.TB, dir string) (v Vectors) {
	tb.Helper()
	raw, err := os.ReadFile(dir + "/testdata/canonical-json.json") //nolint:gosec // the file of a test
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil || len(v.Accept) != 260 || len(v.Reject) != 90 {
		tb.Fatalf("load the known canonical forms: %v; %d and %d of them, want 260 and 90", err, len(v.Accept), len(v.Reject))
	}
	return v
}
