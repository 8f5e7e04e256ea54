package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// guides returns the documents written for people.
func guides(t *testing.T) []string {
	t.Helper()

	root := repoRoot(t)

	list, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, list)

	profiles, err := filepath.Glob(filepath.Join(root, "docs", "profiles", "*.md"))
	require.NoError(t, err)
	require.Len(t, profiles, 3)

	decisions, err := filepath.Glob(filepath.Join(root, "docs", "adr", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, decisions)

	return append(append(append(list, profiles...), decisions...), filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md"), filepath.Join(root, "CHANGELOG.md"), filepath.Join(root, "SECURITY.md"), filepath.Join(root, "deploy", "kubernetes", "README.md"))
}

// Links in the guides lead to files that exist and, in documents, to headings that exist.
func TestGuidesLinkToWhatThereIs(t *testing.T) {
	t.Parallel()

	for _, path := range guides(t) {
		src, err := os.ReadFile(path)
		require.NoError(t, err)

		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(src), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}

			file, heading, _ := strings.Cut(link[1], "#")
			target := path

			if file != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
			}

			require.Truef(t, exists(target), "%s links to %s", path, link[1])

			if heading != "" {
				require.Containsf(t, headings(t, target), heading, "%s links to %s", path, link[1])
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// headings returns a document's headings in the form that links use.
func headings(t *testing.T, path string) []string {
	t.Helper()

	src, err := os.ReadFile(path)
	require.NoError(t, err)

	var list []string

	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(src), -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		list = append(list, strings.ReplaceAll(name, " ", "-"))
	}

	return list
}
