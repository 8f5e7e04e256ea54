package deploytest

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// repoRoot returns the directory that holds the product's go.mod.
func repoRoot(t *testing.T) string {
	t.Helper()

	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "go.mod"))

	return root
}

// documents returns the paths of the documents that name settings.
func documents(t *testing.T) []string {
	t.Helper()

	var list []string

	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "deploy/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(repoRoot(t), filepath.FromSlash(pattern)))
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)

		list = append(list, found...)
	}

	return list
}
