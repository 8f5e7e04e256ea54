package hook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"https://a.example/x", "https://a.example/y?z"},
		{"https://a.example/", "https://A.example:443"},
		{"http://a.example/", "http://a.example:80/"},
		{"http://a.example:8080/", "http://a.example:08080/"},
		{"http://[::1]:8080/", "http://[::1]:8080/x"},
	} {
		require.True(t, hook.SameOrigin(same[0], same[1]), same)
	}
	for _, other := range [][2]string{
		{"https://a.example/", "http://a.example/"},
		{"https://a.example/", "https://b.example/"},
		{"https://a.example/", "https://a.example:8443/"},
		{"https://a.example/", "https://a.example.evil.test/"},
		{"https://a.example:80/", "http://a.example/"},
		{"https://a.example/", "https://%zz/"},
		{"", ""},
	} {
		require.False(t, hook.SameOrigin(other[0], other[1]), other)
	}
	require.Equal(t, "https://a.example:8443", hook.Origin("https://a.example:8443/x?y"))
}
