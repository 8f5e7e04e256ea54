package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
func runGo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir

	var stderr bytes.Buffer
	cmd.Stderr = &stderr

	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}

	return out, nil
}

// listPackages returns the packages that `go list -json args...` finds in dir.
func listPackages(t *testing.T, dir string, args ...string) []pkg {
	t.Helper()

	pkgs, err := list(t.Context(), dir, args...)
	require.NoError(t, err)
	require.NotEmpty(t, pkgs)

	return pkgs
}

// list is listPackages without a test.
func list(ctx context.Context, dir string, args ...string) ([]pkg, error) {
	out, err := runGo(ctx, dir, append([]string{"list", "-json=ImportPath,Doc,Standard,GoFiles,Imports"}, args...)...)
	if err != nil {
		return nil, err
	}

	dec := json.NewDecoder(bytes.NewReader(out))

	var pkgs []pkg
	for {
		var p pkg

		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs, nil
		}

		if err != nil {
			return nil, err
		}

		pkgs = append(pkgs, p)
	}
}

// everything is what allPackages returns. All tests share one list: the go command takes a second for it.
var everything struct {
	once sync.Once
	all  map[string]pkg
	err  error
}

// allPackages returns what the product's packages are linked with, themselves included, by the import path.
func allPackages(t *testing.T) map[string]pkg {
	t.Helper()

	everything.once.Do(func() {
		var pkgs []pkg

		pkgs, everything.err = list(context.WithoutCancel(t.Context()), repoRoot(t), "-deps", "./...")
		everything.all = make(map[string]pkg, len(pkgs))

		for _, p := range pkgs {
			everything.all[p.ImportPath] = p
		}
	})
	require.NoError(t, everything.err)
	require.NotEmpty(t, everything.all)

	return everything.all
}

// under reports whether the import path is the prefix or lies below it.
func under(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, strings.TrimSuffix(prefix, "/")+"/")
}
