package payload_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/signing"
	"grapnel/internal/signing/signingtest"
)

const (
	userData   = `{"id":"user_123","name":"John Doe","email":"john@example.com","status":"active"}`
	standardID = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// momentoSignature is the name of the header as it is sent, which is not Go's canonical form.
const momentoSignature = "momento-signature"

func vectorOf(t *testing.T, name string) signingtest.HMAC {
	t.Helper()
	list := signingtest.Load(t, "../signing").HMAC
	at := slices.IndexFunc(list, func(v signingtest.HMAC) bool { return v.Name == name })
	require.GreaterOrEqual(t, at, 0)
	return list[at]
}

// setup returns the job of a delivery that has not been attempted.
func setup(t *testing.T, p hook.Profile) *hook.Job {
	t.Helper()
	w := &hook.Webhook{
		ID: hook.WebhookID(uuid.MustParse("2535af08-a139-4d0c-9827-1651e46dfbcf")), Profile: p, URL: "https://example.com/hooks?a=b",
		Events: []string{"*"}, Secret: "whsec_abc123", Active: true,
	}
	w.Normalize()
	return &hook.Job{Webhook: w, Event: hook.Event{
		ID: hook.EventID(uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")), Type: "user.created", Data: []byte(userData),
		CreatedAt: time.Date(2026, 1, 15, 12, 30, 0, 999_000_000, time.FixedZone("", 3600)).Add(time.Hour),
	}}
}

// Spec 1, V4: the standard body, byte for byte, and its signature.
func TestStandardBody(t *testing.T) {
	t.Parallel()
	job := setup(t, hook.ProfileStandard)
	body := payload.StandardBody(&job.Event)
	want := []byte(`{"id":"evt_01h455vb4pex5vsknk084sn02q","type":"user.created","created_at":"2026-01-15T12:30:00Z","data":` + userData + `}`)
	require.Equal(t, want, body)

	v4 := vectorOf(t, "V4")
	require.Equal(t, string(v4.Body), strings.Replace(string(body), job.Event.ID.String(), "evt_abc123", 1),
		"the seed's body but for its made-up id")
	require.Equal(t, v4.Signature, signing.HexSHA256(job.Webhook.Secret.Reveal(), v4.Body))
}

// Spec 1, V6: Commenda's event object, byte for byte, and its signature.
func TestCommendaBody(t *testing.T) {
	t.Parallel()
	v6 := vectorOf(t, "V6")
	job := setup(t, hook.ProfileCommenda)
	job.Webhook.Secret = hook.Secret(v6.Key)
	job.Event = hook.Event{
		ID: hook.EventID(uuid.MustParse("b252d757-a286-4508-b538-41ad676e8305")), Type: "REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED",
		OrganizationID: "c2710df6-c6cf-4cd0-aa38-63faa44f16bc", CreatedAt: time.Unix(1727284490, 999_999_999),
		Data: []byte(`{"corporation_id":"a093d086-19e8-48c8-82d6-aba51f82eafc","registration_id":"e3d97512-5415-4b3c-bcc9-f2d6ebf00d1b"}`),
	}
	r := payload.Request(job, time.Now())
	require.Equal(t, string(v6.Body), string(r.Body))
	require.Equal(t, v6.Signature, r.Header.Get("Commenda-X-Secret"))
}

// Spec 1 and M6, V2: Momento's seven members, byte for byte, and their signature, with the time of sending.
func TestMomentoBody(t *testing.T) {
	t.Parallel()
	v2 := vectorOf(t, "V2")
	job := setup(t, hook.ProfileMomento)
	job.Webhook.Secret = hook.Secret(v2.Key)
	job.Event = hook.Event{
		Cache: "chat", Type: "room-281", Sequence: 1, TokenID: "mo-the-squirrel", Data: []byte(`"Here I am!!"`),
		CreatedAt: time.UnixMilli(1704296470564),
	}
	r := payload.Request(job, time.UnixMilli(1704296470565))
	require.Equal(t, string(v2.Body), string(r.Body))
	require.Equal(t, []string{v2.Signature}, map[string][]string(r.Header)[momentoSignature])
	require.Equal(t, 5*time.Second, r.Timeout)

	later := payload.Request(job, time.UnixMilli(1704296479999))
	require.Contains(t, string(later.Body), `"event_timestamp":1704296470564,"publish_timestamp":1704296479999`)
}

// M6: event_timestamp ≤ publish_timestamp ≤ the receiver's now, even if the clock of the publishing machine is ahead of
// that of the sending one.
func TestMomentoTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		created := rapid.Int64Range(0, 4e12).Draw(t, "created µs")
		at := rapid.Int64Range(0, 4e12).Draw(t, "at µs")
		e := hook.Event{Cache: "c", Type: "t", Data: []byte(`""`), CreatedAt: time.UnixMicro(created)}
		var got struct {
			Event   int64 `json:"event_timestamp"`
			Publish int64 `json:"publish_timestamp"`
		}
		require.NoError(t, json.Unmarshal(payload.MomentoBody(&e, time.UnixMicro(at)), &got))
		require.LessOrEqual(t, got.Event, got.Publish)
		require.LessOrEqual(t, got.Publish*1000, at)
		if created <= at {
			require.Equal(t, created/1000, got.Event)
		}
	})
}

// Spec 2: parsing and printing a body again gives the same text, whatever the names and the text of the message.
func TestMomentoBodyIsCanonical(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\x00-\x1f"\\<>&\x{2028}\x{2029}\x{feff}😀é]{0,20}`))
	rapid.Check(t, func(t *rapid.T) {
		e := hook.Event{
			Cache: text.Draw(t, "cache"), Type: text.Draw(t, "topic"), TokenID: text.Draw(t, "token"), Sequence: rapid.Int64Range(0, 1<<53).Draw(t, "sequence"),
			Data: canonjson.AppendString(nil, text.Draw(t, "text")), CreatedAt: time.Now(),
		}
		body := payload.MomentoBody(&e, time.Now())
		canonical, err := canonjson.Canonicalize(body)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(body))
	})
}

// received returns the headers as a server in Go sees them.
func received(r hook.Request) http.Header {
	h := http.Header{}
	for name, values := range r.Header {
		h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], values...)
	}
	return h
}

// S15: url, secret and timeout are the webhook's current ones.
func TestRequestUsesTheWebhook(t *testing.T) {
	t.Parallel()
	job := setup(t, hook.ProfileStandard)
	job.Webhook.Timeout = 7 * time.Second
	r := payload.Request(job, time.Now())
	require.Equal(t, "https://example.com/hooks?a=b", r.URL)
	require.Equal(t, 7*time.Second, r.Timeout)
	job.Webhook.Secret = "whsec_new"
	require.Equal(t, signing.HexSHA256("whsec_new", r.Body), payload.Request(job, time.Now()).Header.Get("X-Webhook-Signature"))
}

// Spec 2.3: every attempt sends identical bytes; X-Webhook-Attempt counts, and
// Standard Webhooks' timestamp is that of sending.
func TestBodyIsStableOverAttempts(t *testing.T) {
	t.Parallel()
	for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileCommenda} {
		job := setup(t, p)
		job.Webhook.Secret = standardID
		first := payload.Request(job, time.Unix(1614265330, 0))
		for attempts := 1; attempts < 6; attempts++ {
			job.Delivery.Attempts = attempts
			again := payload.Request(job, time.Unix(1614265330+int64(attempts), 0))
			require.Equal(t, string(first.Body), string(again.Body))
			if p == hook.ProfileStandard {
				require.Equal(t, string(rune('1'+attempts)), again.Header.Get("X-Webhook-Attempt"))
				require.Equal(t, first.Header.Get("X-Webhook-Signature"), again.Header.Get("X-Webhook-Signature"))
				require.NotEqual(t, received(first).Get("Webhook-Timestamp"), received(again).Get("Webhook-Timestamp"))
			} else {
				require.Equal(t, first.Header, again.Header)
			}
		}
	}
}

// Law, spec 2: every body equals JSON.stringify(JSON.parse(body)), whatever the
// type, the organization and the data.
func TestBodiesAreCanonical(t *testing.T) {
	t.Parallel()
	text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("<&>\"\\/\u2028\u2029\u007f\u0000\u001f\n"))))
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(map[string]string{text.Draw(t, "key"): text.Draw(t, "value")})
		require.NoError(t, err)
		data, err := canonjson.Canonicalize(raw)
		require.NoError(t, err)
		event := hook.Event{
			ID: hook.EventID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Type: text.Draw(t, "type"),
			OrganizationID: text.Draw(t, "organization"), Data: data,
			CreatedAt: time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "ms")),
		}
		for _, body := range [][]byte{payload.StandardBody(&event), payload.CommendaBody(&event, hook.WebhookID(event.ID))} {
			canonical, err := canonjson.Canonicalize(body)
			require.NoError(t, err)
			require.Equal(t, string(canonical), string(body))
		}
	})
}

// S13: the log shows signatures and redacts custom secrets. The request itself is not changed.
func TestRedactHeaders(t *testing.T) {
	t.Parallel()
	job := setup(t, hook.ProfileStandard)
	job.Webhook.Headers = map[string]hook.Secret{"authorization": "Bearer geheim", "X-Api-Key": "geheim"}
	r := payload.Request(job, time.Now())
	shown := payload.RedactHeaders(job.Webhook, r.Header)
	require.Equal(t, r.Header.Get("X-Webhook-Signature"), shown.Get("X-Webhook-Signature"))
	require.Equal(t, "user.created", shown.Get("X-Event-Type"))
	require.Equal(t, []string{"***"}, map[string][]string(shown)["authorization"])
	require.Equal(t, []string{"***"}, shown.Values("X-Api-Key"))
	require.Len(t, shown, len(r.Header))
	require.Equal(t, "Bearer geheim", received(r).Get("Authorization"))

	// The name has the client's spelling, which is not canonical.
	shown = payload.RedactHeaders(job.Webhook, http.Header{"x-api-key": {"geheim"}, "Date": {"today"}})
	require.Equal(t, http.Header{"x-api-key": {"***"}, "Date": {"today"}}, shown)
	require.Empty(t, payload.RedactHeaders(job.Webhook, nil), "an attempt that came to nothing has no headers")
}

// Tests are marked, and nothing else is. Momento's requests have none of Grapnel's headers; a test's message has the
// number 0.
func TestTestsAreMarked(t *testing.T) {
	t.Parallel()
	for p, want := range map[hook.Profile][]string{
		hook.ProfileStandard: {"true"}, hook.ProfileCommenda: {"true"}, hook.ProfileMomento: nil,
	} {
		job := setup(t, p)
		require.NotContains(t, received(payload.Request(job, time.Now())), "Webhook-Test")
		job.Delivery.Test = true
		require.Equal(t, want, received(payload.Request(job, time.Now())).Values("Webhook-Test"), p)
		job.Webhook.Headers = map[string]hook.Secret{"webhook-test": "false"} // stored before it was refused
		if p != hook.ProfileMomento {
			require.Equal(t, want, received(payload.Request(job, time.Now())).Values("Webhook-Test"), p)
		}
	}
}
