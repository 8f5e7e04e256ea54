//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrNotFound reports that no PostgreSQL binaries are installed and that none
// could be downloaded. The error that wraps it says what to install.
var ErrNotFound = errors.New("PostgreSQL not found")

// installHint is advice for ErrNotFound.
const installHint = "install PostgreSQL 14 or newer" +
	" (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server;" +
	" macOS: brew install postgresql@17), put its bin directory on PATH," +
	" or set DATABASE_URL to a running server"

// digits finds the version in an installation's path, such as postgresql@17.
var digits = regexp.MustCompile(`\d+`)

// installGlobs are the places packages install to without touching PATH, in
// order of preference.
func installGlobs() []string {
	return []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // PGDG on RHEL and Fedora
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin",
	}
}

// Find returns the directory that holds the postgres and initdb binaries. It
// looks in PATH, asks `pg_config --bindir`, then tries the directories of
// Debian, Red Hat and Homebrew packages (newest first), and at last downloads
// PostgreSQL into the user's cache directory. If the process runs as root, only
// binaries that the unprivileged user may execute count. The error wraps
// ErrNotFound.
func Find(ctx context.Context) (string, error) {
	cred, err := unprivileged()
	if err != nil {
		return "", err
	}
	f := finder{
		path:     filepath.SplitList(os.Getenv("PATH")),
		globs:    installGlobs(),
		cred:     cred,
		pgConfig: pgConfigBindir,
		download: download,
	}
	return f.find(ctx)
}

// finder implements Find. Its fields are its dependencies, so that tests can replace
// them.
type finder struct {
	path     []string
	globs    []string
	cred     *syscall.Credential
	pgConfig func(ctx context.Context) string
	download func(ctx context.Context, cred *syscall.Credential) (string, error)
}

func (f finder) find(ctx context.Context) (string, error) {
	for _, dir := range f.path {
		if dir, ok := f.usable(dir); ok {
			return dir, nil
		}
	}
	if dir, ok := f.usable(f.pgConfig(ctx)); ok {
		return dir, nil
	}
	for _, glob := range f.globs {
		for _, dir := range newestFirst(glob) {
			if dir, ok := f.usable(dir); ok {
				return dir, nil
			}
		}
	}
	dir, err := f.download(ctx, f.cred)
	if err != nil {
		return "", fmt.Errorf("%w in PATH, through pg_config or in the usual directories, and not downloaded (%w); %s",
			ErrNotFound, err, installHint)
	}
	return dir, nil
}

// usable reports whether dir has both binaries and the user who will run
// them may execute them, and returns the directory after symbolic links: postgres looks for its
// share directory beside itself, and PATH often holds symbolic links.
func (f finder) usable(dir string) (string, bool) {
	if dir == "" {
		return "", false
	}
	server, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return "", false
	}
	real := filepath.Dir(server)
	for _, name := range []string{"postgres", "initdb"} {
		file := filepath.Join(real, name)
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || !reachable(file, f.cred) {
			return "", false
		}
	}
	return real, true
}

// pgConfigBindir asks the pg_config in PATH, which belongs to the client
// packages and knows the server's directory. It returns "" if there is none.
func pgConfigBindir(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// newestFirst expands glob and sorts by the first number in each path, so
// that 17 comes before 9.6.
func newestFirst(glob string) []string {
	dirs, err := filepath.Glob(glob)
	if err != nil {
		return nil
	}
	version := func(dir string) int {
		n, err := strconv.Atoi(digits.FindString(dir))
		if err != nil {
			return 0
		}
		return n
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	return dirs
}
