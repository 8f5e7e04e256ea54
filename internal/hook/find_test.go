package hook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// An id is recognized by its prefix, and is written again as it was read.
func TestParseThingIDs(t *testing.T) {
	t.Parallel()
	const tail = "01h455vb4pex5vsknk084sn02q"
	for prefix, kind := range map[string]hook.ThingKind{
		"del_": hook.ThingDelivery, "evt_": hook.ThingEvent, "hook_": hook.ThingWebhook, "rpl_": hook.ThingReplay, "ten_": hook.ThingTenant,
	} {
		ids, err := hook.ParseThingIDs(prefix + tail)
		require.NoError(t, err)
		require.Len(t, ids, 1)
		require.Equal(t, kind, ids[0].Kind)
		require.Equal(t, prefix+tail, ids[0].String())
	}
	ids, err := hook.ParseThingIDs("01890A5D-ac96-774b-bcce-b302099a8057")
	require.NoError(t, err)
	var texts []string
	for _, id := range ids {
		texts = append(texts, id.String())
	}
	require.Equal(t, []string{"del_" + tail, "evt_" + tail, "hook_" + tail}, texts, "a UUID may be any of these")
	for _, text := range []string{"", "order_4711", "key_" + tail, "ps_" + tail, "aud_" + tail, "del_", "DEL_" + tail, "del_8" + tail[1:], " del_" + tail, "del_" + tail + "\x00", strings.Repeat("x", 36)} {
		_, err := hook.ParseThingIDs(text)
		require.ErrorContains(t, err, "is not an id", text)
	}
}
