package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The TypeScript client's tour, run by node's test runner, and its example work against the stack. Their
// dependencies come from npm.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	npm := typeScript(t, c)
	npm("test")
	npm("run", "example")
}

// typeScript copies the client to a temporary directory, installs its dependencies there, and returns a function
// that runs npm in it.
func typeScript(t *testing.T, c *apiClient) func(args ...string) {
	t.Helper()
	const source = "../../../clients/typescript"
	dir := t.TempDir()
	require.NoError(t, filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "dist") {
			return fs.SkipDir
		}
		name, err := filepath.Rel(source, path)
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o600)
	}))
	npm := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "npm", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GRAPNEL_URL="+c.url, "GRAPNEL_KEY="+c.key, "RECEIVER_URL="+c.receiver)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "Node 18 and npm are needed: npm %v: %s", args, out)
	}
	npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
	return npm
}
