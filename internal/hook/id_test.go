package hook_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// idKind is a kind of identifier, described by functions over its 16 bytes.
type idKind struct {
	format func([16]byte) string
	parse  func(string) ([16]byte, error)
}

// idKinds lists every kind, with its prefix.
func idKinds() map[string]idKind {
	return map[string]idKind{
		"ten": {
			func(b [16]byte) string { return hook.TenantID(b).String() },
			func(s string) ([16]byte, error) { id, err := hook.ParseTenantID(s); return id, err },
		},
		"hook": {
			func(b [16]byte) string { return hook.WebhookID(b).String() },
			func(s string) ([16]byte, error) { id, err := hook.ParseWebhookID(s); return id, err },
		},
		"evt": {
			func(b [16]byte) string { return hook.EventID(b).String() },
			func(s string) ([16]byte, error) { id, err := hook.ParseEventID(s); return id, err },
		},
		"del": {
			func(b [16]byte) string { return hook.DeliveryID(b).String() },
			func(s string) ([16]byte, error) { id, err := hook.ParseDeliveryID(s); return id, err },
		},
		"key": {
			func(b [16]byte) string { return hook.KeyID(b).String() },
			func(s string) ([16]byte, error) { id, err := hook.ParseKeyID(s); return id, err },
		},
		"ps": {
			func(b [16]byte) string { return hook.PortalSessionID(b).String() },
			func(s string) ([16]byte, error) { id, err := hook.ParsePortalSessionID(s); return id, err },
		},
	}
}

func drawID(t *rapid.T, label string) [16]byte {
	return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
}

// Spec 0: ids have the TypeID format, as in the test vector of its specification.
func TestIDIsTypeID(t *testing.T) {
	t.Parallel()
	const suffix, text = "01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"
	for prefix, kind := range idKinds() {
		id, err := kind.parse(prefix + "_" + suffix)
		require.NoError(t, err)
		require.Equal(t, text, uuid.UUID(id).String())
		require.Equal(t, prefix+"_"+suffix, kind.format(uuid.MustParse(text)))
	}
	for suffix, text := range map[string]string{
		"00000000000000000000000000": "00000000-0000-0000-0000-000000000000",
		"00000000000000000000000001": "00000000-0000-0000-0000-000000000001",
		"0000000000000000000000000a": "00000000-0000-0000-0000-00000000000a",
		"0000000000000000000000000g": "00000000-0000-0000-0000-000000000010",
		"00000000000000000000000010": "00000000-0000-0000-0000-000000000020",
		"7zzzzzzzzzzzzzzzzzzzzzzzzz": "ffffffff-ffff-ffff-ffff-ffffffffffff",
	} {
		require.Equal(t, "evt_"+suffix, hook.EventID(uuid.MustParse(text)).String())
		id, err := hook.ParseEventID("evt_" + suffix)
		require.NoError(t, err)
		require.Equal(t, text, id.UUID(), "Commenda's surface shows the UUID")
		require.Equal(t, text, hook.WebhookID(id).UUID())
	}
}

// Law: parsing undoes formatting, in JSON too. Texts sort by time.
func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawID(t, "a"), drawID(t, "b")
		for prefix, kind := range idKinds() {
			text := kind.format(a)
			require.Len(t, text, len(prefix)+1+26)
			back, err := kind.parse(text)
			require.NoError(t, err)
			require.Equal(t, a, back)
			require.Equal(t, bytes.Compare(a[:], b[:]), strings.Compare(text, kind.format(b)))
		}
		type all struct {
			W hook.WebhookID
			E hook.EventID
			D hook.DeliveryID
		}
		in := all{a, b, a}
		text, err := json.Marshal(in)
		require.NoError(t, err)
		require.Contains(t, string(text), `"evt_`)
		var out all
		require.NoError(t, json.Unmarshal(text, &out))
		require.Equal(t, in, out)
	})
}

// Law: an identifier has only one text, and every other text is refused.
func TestIDHasOneText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := "evt_" + rapid.StringMatching(`[0-9a-zA-Z_-]{24,28}`).Draw(t, "suffix")
		if id, err := hook.ParseEventID(text); err == nil {
			require.Equal(t, text, id.String())
		}
	})
}

func TestParseIDRefuses(t *testing.T) {
	t.Parallel()
	const good = "01h455vb4pex5vsknk084sn02q"
	for name, text := range map[string]string{
		"empty":                          "",
		"prefix alone":                   "evt_",
		"no prefix":                      good,
		"another prefix":                 "hook_" + good,
		"prefix in capitals":             "EVT_" + good,
		"suffix in capitals":             "evt_" + strings.ToUpper(good),
		"one capital":                    "evt_" + strings.Replace(good, "q", "Q", 1),
		"too short":                      "evt_" + good[1:],
		"too long":                       "evt_0" + good,
		"first character over 7":         "evt_8" + good[1:],
		"first character far over 7":     "evt_z" + good[1:],
		"i, which Crockford leaves out":  "evt_" + good[:25] + "i",
		"l":                              "evt_" + good[:25] + "l",
		"o":                              "evt_" + good[:25] + "o",
		"u":                              "evt_" + good[:25] + "u",
		"space around":                   " evt_" + good,
		"line feed after":                "evt_" + good + "\n",
		"line feed within":               "evt_" + good[:25] + "\n",
		"NUL first":                      "evt_\x00" + good[1:],
		"two underscores":                "evt__" + good[1:],
		"26 bytes, not characters":       "evt_" + good[:24] + "é",
		"UUID without dashes":            "01890a5dac96774bbcceb302099a8057",
		"UUID with its dashes elsewhere": "01890a5da-c96-774b-bcce-b302099a805",
		"UUID with a letter too many":    "01890a5d-ac96-774b-bcce-b302099a805g",
		"UUID in braces":                 "{01890a5d-ac96-774b-bcce-b302099a8057}",
		"UUID as a URN":                  "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := hook.ParseEventID(text)
			require.ErrorContains(t, err, "evt_")
			require.Zero(t, id)
			if text != "" {
				require.NotContains(t, err.Error(), good, "what was given is not echoed")
			}
			require.Error(t, new(hook.EventID).UnmarshalText([]byte(text)))
		})
	}
}

// Spec 0: Commenda's surface shows the same ids as plain UUIDs, which every surface accepts.
func TestIDAsUUID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := hook.EventID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		require.Equal(t, uuid.UUID(want).String(), want.UUID())
		for _, text := range []string{want.UUID(), strings.ToUpper(want.UUID()), want.String()} {
			id, err := hook.ParseEventID(text)
			require.NoError(t, err)
			require.Equal(t, want, id)
		}
	})
}

// Spec 11: ids sort by time, to the millisecond.
func TestIDTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "ms")).UTC() // up to the end of the year 9999
		floor := hook.IDTime(at)
		require.Equal(t, at, hook.EventID(floor).Time())
		require.Equal(t, make([]byte, 10), floor[6:], "the smallest of its moment")
	})
	require.Zero(t, hook.IDTime(time.Unix(-1, 0)), "there was none before 1970")
	id := uuid.Must(uuid.NewV7())
	require.WithinDuration(t, time.Now(), hook.EventID(id).Time(), time.Minute)
}

// Spec 0: the tenant "default" has a fixed id, a UUIDv7.
func TestDefaultTenant(t *testing.T) {
	t.Parallel()
	id := uuid.UUID(hook.DefaultTenant())
	require.Equal(t, "00000000-0000-7000-8000-000000000001", id.String())
	require.Equal(t, uuid.Version(7), id.Version())
	require.Equal(t, uuid.RFC4122, id.Variant())
}
