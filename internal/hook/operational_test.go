package hook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
)

// Patterns do not match operational events (see OperationalEventTypes).
func TestOperationalEventsAreNamed(t *testing.T) {
	t.Parallel()
	for _, e := range hook.OperationalEventTypes() {
		require.Empty(t, hook.TypeProblem(e.Name))
		require.True(t, hook.IsBuiltIn(e.Name))
		require.Equal(t, []string{e.Name}, hook.Candidates(e.Name))
		require.True(t, hook.Matches([]string{"*", e.Name}, e.Name))
		require.False(t, hook.Matches([]string{"*", "webhook.*", "delivery.*"}, e.Name))
		sample := hook.SampleData(e.Name)
		canonical, err := canonjson.Canonicalize(sample)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(sample))
		require.NotEqual(t, string(hook.SampleData("other")), string(sample))
	}
	require.True(t, hook.Matches([]string{"delivery.*"}, "delivery.shipped"))
}
