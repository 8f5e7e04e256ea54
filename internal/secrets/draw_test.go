package secrets_test

import (
	"encoding/base32"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// Spec 7: random, at least 128 bits (256 are drawn), and recognizable.
func TestNewAPIKey(t *testing.T) {
	t.Parallel()
	seen := map[hook.Secret]bool{}
	for range 1000 {
		key := secrets.NewAPIKey()
		require.Regexp(t, `^gk_[a-z2-7]{52}$`, key.Reveal())
		random, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(key.Reveal()[len("gk_"):]))
		require.NoError(t, err)
		require.Len(t, random, 256/8)
		require.False(t, seen[key])
		seen[key] = true
	}
	require.Equal(t, "***", fmt.Sprint(secrets.NewAPIKey()))
}
