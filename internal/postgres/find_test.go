//go:build unix

package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// install makes a directory that looks like PostgreSQL's binaries.
func install(t *testing.T, dir string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, name := range []string{"postgres", "initdb"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	return dir
}

// nothing is a finder that finds nothing.
func nothing() finder {
	return finder{
		pgConfig: func(context.Context) string { return "" },
		download: func(context.Context, *syscall.Credential) (string, error) {
			return "", errors.New("no network")
		},
	}
}

func TestFindOrder(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	glob := filepath.Join(root, "lib", "*", "bin")
	install(t, filepath.Join(root, "lib", "9.6", "bin"))
	newest := install(t, filepath.Join(root, "lib", "17", "bin"))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "lib", "18", "bin"), 0o700)) // client only
	configured := install(t, filepath.Join(root, "configured"))
	real := install(t, filepath.Join(root, "real"))
	linked := filepath.Join(root, "linked")
	require.NoError(t, os.Mkdir(linked, 0o700))
	require.NoError(t, os.Symlink(filepath.Join(real, "postgres"), filepath.Join(linked, "postgres")))

	find := func(f finder) string {
		t.Helper()
		dir, err := f.find(t.Context())
		require.NoError(t, err)
		return dir
	}
	f := nothing()
	f.download = func(context.Context, *syscall.Credential) (string, error) { return "downloaded", nil }
	require.Equal(t, "downloaded", find(f))
	f.globs = []string{filepath.Join(root, "none", "*"), glob}
	require.Equal(t, newest, find(f))
	f.pgConfig = func(context.Context) string { return configured }
	require.Equal(t, configured, find(f))
	f.path = []string{"", root, linked}
	require.Equal(t, real, find(f), "the directory behind the link")
	f.cred = &syscall.Credential{Uid: 54321, Gid: 54321}
	require.Equal(t, "downloaded", find(f), "the others are in a directory closed to that user")
}

func TestFindSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	_, err := nothing().find(t.Context())
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "no network")
	require.ErrorContains(t, err, "apt-get install postgresql")
	require.ErrorContains(t, err, "DATABASE_URL")
}

func TestFindHere(t *testing.T) {
	t.Parallel()
	dir, err := Find(t.Context())
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "initdb"))
}
