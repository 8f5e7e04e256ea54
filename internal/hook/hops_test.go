package hook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// A chain is read as it was sent, from one header or from several.
func TestHops(t *testing.T) {
	t.Parallel()
	a, b, c := hook.EventID{1}, hook.EventID{2}, hook.EventID{3}
	e := hook.Event{ID: c, Hops: []hook.EventID{a, b}}
	require.Equal(t, a.String()+", "+b.String()+", "+c.String(), e.Chain())
	require.Equal(t, c.String(), (&hook.Event{ID: c}).Chain())
	for _, values := range [][]string{{e.Chain()}, {a.String(), b.String() + "," + c.String()}, {" " + a.String() + " ,," + b.UUID(), c.String() + ","}} {
		hops, err := hook.ParseHops(values)
		require.NoError(t, err)
		require.Equal(t, []hook.EventID{a, b, c}, hops)
	}
	for _, values := range [][]string{nil, {""}, {" , "}} {
		hops, err := hook.ParseHops(values)
		require.NoError(t, err)
		require.Empty(t, hops)
	}
	for _, bad := range []string{"x", "hook_" + strings.Repeat("0", 26), a.String() + " " + b.String()} {
		_, err := hook.ParseHops([]string{bad})
		require.Error(t, err, bad)
	}
	long, err := hook.ParseHops([]string{strings.Repeat(a.String()+",", 10_000)})
	require.NoError(t, err)
	require.Len(t, long, hook.MaxHops+1, "no more is read than is needed to refuse it")

	require.Equal(t, e.Hops, hook.HopsOf(hook.HopBytes(e.Hops)))
	require.Nil(t, hook.HopBytes(nil))
	require.Nil(t, hook.HopsOf(nil))
	require.Nil(t, hook.HopsOf([]byte{1, 2, 3}))
}
