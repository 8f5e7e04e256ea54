package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

// maxLines is the soft cap of the house style on a file that is not a test.
const maxLines = 400

// longFiles maps a file that is longer than maxLines to the reason why splitting it by noun would read worse.
func longFiles() map[string]string {
	return map[string]string{}
}

func TestEveryPackageHasAComment(t *testing.T) {
	t.Parallel()
	longtest.Only(t)

	root := repoRoot(t)

	pkgs := listPackages(t, root, "./...")
	for _, module := range []string{"cmd/dev", "clients/go", "verify/go"} {
		pkgs = append(pkgs, listPackages(t, filepath.Join(root, filepath.FromSlash(module)), "./...")...)
	}

	for _, p := range pkgs {
		if strings.TrimSpace(p.Doc) == "" {
			t.Errorf("%s has no package comment: say what it is, what it must not import and its one invariant", p.ImportPath)
		}
	}
}

func TestFilesStayShort(t *testing.T) {
	t.Parallel()

	root, reasons := repoRoot(t), longFiles()

	for _, path := range goFiles(t, root) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}

		src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
		require.NoError(t, err)

		reason, allowed := reasons[path]
		delete(reasons, path)

		lines := bytes.Count(src, []byte("\n"))

		switch {
		case lines <= maxLines && allowed:
			t.Errorf("%s has %d lines again: take it off the list of long files", path, lines)
		case lines > maxLines && !allowed && !generated(t, path, src):
			t.Errorf("%s has %d lines, more than %d: split it by noun", path, lines, maxLines)
		case allowed && reason == "":
			t.Errorf("%s is on the list of long files without a reason", path)
		}
	}

	for path := range reasons {
		t.Errorf("%s is on the list of long files and does not exist", path)
	}
}

// goFiles returns the slash-separated paths below root of all Go files that are built, whatever module they are in.
func goFiles(t *testing.T, root string) []string {
	t.Helper()

	return filesOf(t, root, ".go")
}

// filesOf returns the slash-separated paths below root of all files with one of the extensions, except those that the
// go command ignores.
func filesOf(t *testing.T, root string, extensions ...string) []string {
	t.Helper()

	var files []string

	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		name := d.Name()
		if d.IsDir() {
			hidden := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
			if path != root && (hidden || name == "testdata" || name == "vendor" || name == "node_modules") {
				return filepath.SkipDir
			}

			return nil
		}

		if slices.Contains(extensions, filepath.Ext(name)) {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}

			files = append(files, filepath.ToSlash(rel))
		}

		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)

	return files
}

// generated reports whether the file is marked as generated, in the form that the go command defines.
func generated(t *testing.T, path string, src []byte) bool {
	t.Helper()

	file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.PackageClauseOnly|parser.ParseComments)
	require.NoError(t, err)

	return ast.IsGenerated(file)
}
