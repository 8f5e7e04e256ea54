package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// modulePath is the product's module, and the prefix of all packages of the repository, including cmd/dev.
const modulePath = "grapnel"

// pkg is the part of an entry of `go list -json` that the tests need.
type pkg struct {
	ImportPath string
	Doc        string
	Standard   bool
	GoFiles    []string
	Imports    []string
}

// dir is the package's path below the module's root, with a trailing slash: "api/", and "/" for the root itself.
func (p pkg) dir() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, modulePath), "/") + "/"
}

// repoRoot returns the directory that holds the product's go.mod.
func repoRoot(t *testing.T) string {
	t.Helper()

	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "go.mod"))

	return root
}

// runGo runs the go command in dir and returns its standard output.
func runGo(t *testing.T, dir string, args ...string) []byte {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir

	var stderr bytes.Buffer
	cmd.Stderr = &stderr

	out, err := cmd.Output()
	require.NoErrorf(t, err, "go %s\n%s", strings.Join(args, " "), stderr.String())

	return out
}

// listPackages returns the packages that `go list -json args...` finds in dir.
func listPackages(t *testing.T, dir string, args ...string) []pkg {
	t.Helper()

	args = append([]string{"list", "-json=ImportPath,Doc,Standard,GoFiles,Imports"}, args...)
	dec := json.NewDecoder(bytes.NewReader(runGo(t, dir, args...)))

	var pkgs []pkg
	for {
		var p pkg

		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}

		require.NoError(t, err)

		pkgs = append(pkgs, p)
	}

	require.NotEmpty(t, pkgs)

	return pkgs
}

// under reports whether the import path is the prefix or lies below it.
func under(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, strings.TrimSuffix(prefix, "/")+"/")
}
