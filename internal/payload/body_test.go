package payload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
	"grapnel/internal/payload"
)

// Sizes are computed without building bodies, and equal the sizes of the bodies.
func TestSizesAreThoseOfTheBodies(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z.]{0,40}`), rapid.StringOf(rapid.RuneFrom([]rune("\"\\\n\x00\x1f\x7fé😀\u2028"))))
	rapid.Check(t, func(t *rapid.T) {
		lastSecond := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		e := hook.Event{
			ID: hook.EventID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Type: texts.Draw(t, "type"),
			OrganizationID: texts.Draw(t, "organization"),
			Data:           canonjson.AppendString(nil, texts.Draw(t, "data")), CreatedAt: lastSecond,
		}
		standard, commenda := payload.StandardBody(&e), payload.CommendaBody(&e, hook.WebhookID(e.ID))
		require.Equal(t, max(len(standard), len(commenda)), payload.LargestSize(e.Type, e.OrganizationID, e.Data))
		require.Equal(t, len(standard), cap(standard), "its buffer did not grow")
		require.Equal(t, len(commenda), cap(commenda), "its buffer did not grow")

		e.CreatedAt = time.Unix(rapid.Int64Range(0, lastSecond.Unix()).Draw(t, "created"), 0)
		require.LessOrEqual(t, len(payload.CommendaBody(&e, hook.WebhookID(e.ID))), len(commenda))
		require.Len(t, payload.StandardBody(&e), len(standard))
	})
}

// Which of the two profiles has the larger body depends on the event.
func TestLargestSize(t *testing.T) {
	t.Parallel()
	for name, organization := range map[string]string{"none": "", "long": strings.Repeat("o", 255), "escaped": strings.Repeat("\"", 255)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := hook.Event{Type: "user.created", OrganizationID: organization, Data: []byte(`{}`), CreatedAt: time.Unix(253402300799, 0)}
			require.Equal(t, len(payload.CommendaBody(&e, hook.WebhookID{})), payload.LargestSize(e.Type, organization, e.Data))
		})
	}
}
