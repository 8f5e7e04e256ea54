package openapi_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

var update = flag.Bool("update", false, "write the documents anew")

// repeats shows that the output does not depend on the order of maps.
const repeats = 5

func TestDocumentsAreWhatTheBinaryPrints(t *testing.T) {
	t.Parallel()
	if !*update {
		longtest.Only(t)
	}
	binary := filepath.Join(t.TempDir(), "grapnel")
	run(t, "go", "build", "-o", binary, "../cmd/grapnel")
	for file, version := range map[string]string{"openapi.yaml": "3.1", "openapi-3.0.yaml": "3.0"} {
		printed := run(t, binary, "openapi", "--version", version)
		for range repeats - 1 {
			require.Equal(t, string(printed), string(run(t, binary, "openapi", "--version", version)))
		}
		if *update {
			require.NoError(t, os.WriteFile(file, printed, 0o644))
		}
		committed, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, bytes.Equal(printed, committed), "%s is out of date: go test ./openapi -update", file)
	}
}

// run runs a command and returns its standard output.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return out
}
