package deploytest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// No profile has the name that go build uses by default: it would make every build compile every
// dependency again. Releases name their profile.
func TestProfilesAreForReleases(t *testing.T) {
	t.Parallel()

	root := repoRoot(t)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NotEqual(t, "default.pgo", d.Name(), path)
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		return err
	}))

	const profile = "-pgo=cmd/grapnel/release.pgo"
	require.Contains(t, readDockerfile(t).build, profile)
	require.FileExists(t, filepath.Join(root, strings.TrimPrefix(profile, "-pgo=")))

	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	require.Contains(t, string(readme), "go build "+profile)
}
