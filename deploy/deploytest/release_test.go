package deploytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// .goreleaser.yaml matches goreleaser's schema, which allows no unknown member.
func TestReleaseConfiguration(t *testing.T) {
	t.Parallel()

	src, err := os.ReadFile(filepath.Join(repoRoot(t), ".goreleaser.yaml"))
	require.NoError(t, err)

	var doc map[string]any
	require.NoError(t, yaml.Unmarshal(src, &doc))

	schema := compileSchema(t, "goreleaser.json", "")
	require.NoError(t, schema.Validate(asJSON(t, doc)))

	doc["sbom"] = []any{}
	require.Error(t, schema.Validate(asJSON(t, doc)), "the schema refuses a misspelt member")

	// The paths in it exist, and the binary gets the version where `grapnel version` looks for it.
	for _, path := range []string{"cmd/grapnel/release.pgo", "deploy/release/Dockerfile", "LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md"} {
		require.Contains(t, string(src), path)
		require.FileExists(t, filepath.Join(repoRoot(t), filepath.FromSlash(path)))
	}

	main, err := os.ReadFile(filepath.Join(repoRoot(t), "Dockerfile"))
	require.NoError(t, err)

	for _, variable := range []string{"main.releaseVersion=", "main.releaseCommit=", "main.releaseDate="} {
		require.Contains(t, string(src), variable)
		require.Contains(t, string(main), variable)
	}
}

// The release's image is the same as the one that Dockerfile builds from the sources.
func TestReleaseImage(t *testing.T) {
	t.Parallel()

	instructions := func(path string) (list []string) {
		src, err := os.ReadFile(filepath.Join(repoRoot(t), filepath.FromSlash(path)))
		require.NoError(t, err)

		for line := range strings.Lines(string(src)) {
			word, _, _ := strings.Cut(line, " ")
			switch word {
			case "FROM":
				list = []string{line} // the last stage counts
			case "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "ENV":
				list = append(list, line)
			}
		}

		return list
	}
	want := instructions("Dockerfile")
	require.Len(t, want, 7)
	require.Equal(t, want, instructions("deploy/release/Dockerfile"))
}
