package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	// comment matches the comment in a line of Go, SQL or TypeScript. The "//" of a URL follows a colon.
	comment = regexp.MustCompile(`(?:^|[^:])(?://|--) ?(.*)`)
	// citation matches a cited number of docs/specification.md: a line (S8, M6, C3, K4), a section (spec 9) or a point of
	// a section (spec 2.4).
	citation = regexp.MustCompile(`\b([SMCK][0-9]{1,2}|spec [0-9]+(?:\.[0-9]+)?)\b`)
)

// Every specification number that a comment or a document cites exists.
func TestCitedNumbersExist(t *testing.T) {
	t.Parallel()

	root := repoRoot(t)
	known := specified(t, root)
	cited := 0

	check := func(path, text string) {
		for _, c := range citation.FindAllString(text, -1) {
			cited++

			require.Truef(t, known[c], "%s cites %s, which docs/specification.md does not have:\n%s", path, c, text)
		}
	}

	for _, path := range filesOf(t, root, ".go", ".sql", ".ts", ".md") {
		src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
		require.NoError(t, err)

		for line := range strings.Lines(string(src)) {
			if strings.HasSuffix(path, ".md") {
				check(path, line)
			} else if m := comment.FindStringSubmatch(line); m != nil {
				check(path, m[1])
			}
		}
	}

	require.Greater(t, cited, 300)
}

// specified returns the numbers that the specification defines, in their cited form.
func specified(t *testing.T, root string) map[string]bool {
	t.Helper()

	src, err := os.ReadFile(filepath.Join(root, "docs", "specification.md"))
	require.NoError(t, err)

	known, section := map[string]bool{}, ""

	for line := range strings.Lines(string(src)) {
		if m := regexp.MustCompile(`^## ([0-9]+)\. `).FindStringSubmatch(line); m != nil {
			section = m[1]
			known["spec "+section] = true
		}

		if m := regexp.MustCompile(`^([0-9]+)\. `).FindStringSubmatch(line); m != nil {
			known["spec "+section+"."+m[1]] = true
		}

		for _, m := range regexp.MustCompile(`\*\*([SMCK][0-9]+)\*\*`).FindAllStringSubmatch(line, -1) {
			known[m[1]] = true
		}
	}

	return known
}
