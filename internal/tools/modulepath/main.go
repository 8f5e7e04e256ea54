// Command modulepath gives the modules of this repository the path under which they are hosted, so that `go get` finds
// them: `task module PATH=github.com/org/grapnel`. It rewrites go.mod
// files, imports, the configuration of tools and documents in place, and can be run again. It changes no name that is
// stored or public, such as workflow types and metrics.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: modulepath DIRECTORY PATH")
		os.Exit(2)
	}
	n, err := rename(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "modulepath:", err)
		os.Exit(1)
	}
	fmt.Printf("%d files changed. Next: task fmt, task tidy, task lint; task pgo, since profiles name functions by their module.\n", n)
}

// wellFormed matches a path that `go get` can ask a host for: its first element is a host name.
var wellFormed = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

// rename gives the modules below root the path to, and returns how many files it has changed.
func rename(root, to string) (changed int, err error) {
	if !wellFormed.MatchString(to) {
		return 0, fmt.Errorf("module path %q: want a host and a path, such as github.com/org/grapnel", to)
	}
	from, err := modulePath(root)
	if err != nil {
		return 0, err
	}
	change, err := rewriter(root, from, to)
	if err != nil {
		return 0, err
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if skipped(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		old, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(old, 0) >= 0 { // binary
			return err
		}
		text := change(old)
		if bytes.Equal(old, text) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		changed++
		return os.WriteFile(path, text, info.Mode().Perm())
	})
	return changed, err
}

// skipped reports whether a directory has nothing that is in the repository's history, or only what is built of it.
func skipped(name string) bool {
	return name == ".git" || name == "node_modules" || name == "dist" || name == ".task"
}

// modulePath reads the path of the module in root.
func modulePath(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(path), nil
		}
	}
	return "", errors.New("go.mod has no module line")
}

// rewriter returns the function that replaces the path from in a file. A path counts as one where a directory of the root
// follows it, and nothing comes before it that could make it a longer path; alone, it counts in go.mod files and where
// tools are told the module.
func rewriter(root, from, to string) (func([]byte) []byte, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			dirs = append(dirs, regexp.QuoteMeta(e.Name()))
		}
	}
	old := regexp.QuoteMeta(from)
	patterns := []*regexp.Regexp{
		regexp.MustCompile(`(?m)(^|[^\w./-])` + old + `(/(?:` + strings.Join(dirs, "|") + `)\b)`),
		regexp.MustCompile(`(?m)(^module |^replace |^require |^\t)` + old + `( v[0-9]| =>|$)`),
		regexp.MustCompile(`(-modpath |module-path: |prefix\()` + old + `(\b)`),
		regexp.MustCompile(`(\^)` + old + `(/)`),
		regexp.MustCompile(`(modulePath = ")` + old + `(")`),
	}
	return func(text []byte) []byte {
		for _, p := range patterns {
			text = p.ReplaceAll(text, []byte("${1}"+to+"${2}"))
		}
		return text
	}, nil
}
