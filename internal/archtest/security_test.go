package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every test that SECURITY.md names as proof exists.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	t.Parallel()

	root := repoRoot(t)

	text, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	require.NoError(t, err)

	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, named)

	var tests strings.Builder

	for _, path := range goFiles(t, root) {
		if strings.HasSuffix(path, "_test.go") {
			src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
			require.NoError(t, err)
			tests.Write(src)
		}
	}

	for _, name := range named {
		require.Contains(t, tests.String(), "\nfunc "+name[1]+"(", "SECURITY.md names %s", name[1])
	}
}
