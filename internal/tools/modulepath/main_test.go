package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const hosted = "example.org/team/grapnel"

func TestRewriter(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"api", "cmd", "internal", "verify"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	change, err := rewriter(root, "grapnel", hosted)
	if err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{
		"module grapnel\n":                              "module " + hosted + "\n",
		"module grapnel/cmd/dev\n":                      "module " + hosted + "/cmd/dev\n",
		"require (\n\tgrapnel v0.0.0\n)\n":              "require (\n\t" + hosted + " v0.0.0\n)\n",
		"replace grapnel => ../..\n":                    "replace " + hosted + " => ../..\n",
		"replace grapnel/verify/go => ../../verify\n":   "replace " + hosted + "/verify/go => ../../verify\n",
		`import verify "grapnel/verify/go"`:             `import verify "` + hosted + `/verify/go"`,
		"`grapnel/internal/hook`, grapnel/api\n":        "`" + hosted + "/internal/hook`, " + hosted + "/api\n",
		"tool gofumpt -l -modpath grapnel .":            "tool gofumpt -l -modpath " + hosted + " .",
		"  - prefix(grapnel)\n  module-path: grapnel\n": "  - prefix(" + hosted + ")\n  module-path: " + hosted + "\n",
		"        - ^grapnel/\n":                         "        - ^" + hosted + "/\n",
		`const modulePath = "grapnel"`:                  `const modulePath = "` + hosted + `"`,
		// Other names with the word stay.
		"go build ./cmd/grapnel, deploy/grafana/grapnel.json, -pgo=cmd/grapnel/release.pgo": "go build ./cmd/grapnel, deploy/grafana/grapnel.json, -pgo=cmd/grapnel/release.pgo",
		"grapnel serve; image: grapnel:1.0; https://x.org/grapnel/api; my-grapnel/api":      "grapnel serve; image: grapnel:1.0; https://x.org/grapnel/api; my-grapnel/api",
	} {
		if got := string(change([]byte(old))); got != want {
			t.Errorf("%q became %q, want %q", old, got, want)
		}
		if got := string(change([]byte(want))); got != want {
			t.Errorf("%q became %q when it was changed again", want, got)
		}
	}
}

func TestPathsAreChecked(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "grapnel", "/usr/bin:/bin", "github.com", "github.com/", "https://github.com/org/grapnel", "github.com/org/grapnel/", "GitHub.com/org/grapnel", "github.com/org/../x", "github.com/$x/y"} {
		if _, err := rename(t.TempDir(), path); err == nil || !strings.Contains(err.Error(), "want a host") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// A renamed copy of this repository builds, and nothing in it has a module's old path.
func TestRenamedCopyBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the product anew")
	}
	t.Parallel()
	root := filepath.Join(t.TempDir(), "copy")
	if err := copyTree("../../..", root); err != nil {
		t.Fatal(err)
	}
	if n, err := rename(root, hosted); err != nil || n < 100 {
		t.Fatalf("%d files changed: %v", n, err)
	}
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = filepath.Join(root, dir)
		cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("in %q: go %s: %v\n%s", dir, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	for _, dir := range []string{"", "clients/go", "verify/go"} {
		run(dir, "build", "./...")
	}
	for _, dir := range []string{"", "clients/go", "verify/go", "cmd/dev"} {
		for path := range strings.FieldsSeq(run(dir, "list", "-deps", "-test", "./...")) {
			if path == "grapnel" || strings.HasPrefix(path, "grapnel/") {
				t.Errorf("in %q: %s still has its old path", dir, path)
			}
		}
	}
}

// copyTree copies the files of a checkout.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			// The console's built files are in the repository, and embedded.
			if relative != "." && skipped(d.Name()) && relative != filepath.Join("console", "dist") {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, relative), 0o750)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), text, 0o600)
	})
}
