package hook_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func TestProcessIDText(t *testing.T) {
	t.Parallel()
	type holder struct {
		ID hook.ProcessID `json:"id,omitzero"`
	}
	want := holder{hook.NewProcessID()}
	require.NotEqual(t, want.ID, hook.NewProcessID())
	text, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"`+want.ID.String()+`"}`, string(text))
	var got holder
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, want, got)
	text, err = json.Marshal(holder{})
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(text))
	for _, bad := range []string{`{"id":"0"}`, `{"id":"zz"}`, `{"id":"` + want.ID.String() + `00"}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &got), bad)
	}
}

// A process stops before others take over, with time for a check and the statement of a heartbeat in between.
func TestFenceIsBeforeDeath(t *testing.T) {
	t.Parallel()
	require.Less(t, hook.FenceAfter, hook.DeadAfter)
	require.LessOrEqual(t, 3*hook.HeartbeatEvery, hook.FenceAfter, "one lost heartbeat is no fence")
}
