package clip_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/clip"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    string
		most int
		want string
	}{
		{"short", 5, "short"},
		{"longer", 5, "lo…"},
		{"äöü", 5, "ä…"},
		{"äöü", 6, "äöü"},
		{"\xff\xff\xff\xff", 3, "…"},
		{"abcd", 1, "…"},
	} {
		require.Equal(t, c.want, clip.Text(c.s, c.most), "%q, %d", c.s, c.most)
	}
}
