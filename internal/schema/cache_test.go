package schema_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/schema"
)

// A schema is compiled once and found by its hash. A text that is no schema is not cached.
func TestCache(t *testing.T) {
	t.Parallel()
	var c schema.Cache
	hash := sha256.Sum256([]byte(invoice))
	require.Nil(t, c.Find(hash))
	var g errgroup.Group
	compiled := make([]*schema.Schema, 8)
	for i := range compiled {
		g.Go(func() (err error) {
			compiled[i], err = c.Compile([]byte(invoice))
			return err
		})
	}
	require.NoError(t, g.Wait())
	for _, s := range compiled {
		require.Same(t, compiled[0], s)
	}
	require.Same(t, compiled[0], c.Find(hash))
	_, err := c.Compile([]byte(`{"type":1}`))
	require.ErrorAs(t, err, new(*schema.Error))
	require.Nil(t, c.Find(sha256.Sum256([]byte(`{"type":1}`))))
}

// A full cache drops the schemas that were used least recently, and no others.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ size, most int }{
		"in number": {0, 1000},
		"in bytes":  {16 << 10, 4 << 20 / (16 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cache schema.Cache
			var texts []string
			const used = `{"title":"used"}`
			_, err := cache.Compile([]byte(used))
			require.NoError(t, err)
			for i := range c.most + 20 {
				text := fmt.Sprintf(`{"title":"%d%s"}`, i, strings.Repeat("x", c.size))
				texts = append(texts, text)
				s, err := cache.Compile([]byte(text))
				require.NoError(t, err)
				require.Same(t, s, cache.Find(sha256.Sum256([]byte(text))))
				require.NotNil(t, cache.Find(sha256.Sum256([]byte(used))), "it is used all the time")
			}
			var cached []bool
			for _, text := range texts {
				cached = append(cached, cache.Find(sha256.Sum256([]byte(text))) != nil)
			}
			first := slices.Index(cached, true)
			require.NotContains(t, cached[first:], false, "the last ones are cached")
			require.LessOrEqual(t, len(cached)-first, c.most)
			require.Greater(t, len(cached)-first, c.most-20)
		})
	}
}
