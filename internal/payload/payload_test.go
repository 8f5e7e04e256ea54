package payload_test

import (
	"crypto/ed25519"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/signing"
)

const (
	userData   = `{"id":"user_123","name":"John Doe","email":"john@example.com","status":"active"}`
	standardID = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// momentoSignature is the header's name as it is sent: not canonical.
const momentoSignature = "momento-signature"

// vector is a known answer of signing.
type vector struct {
	Name      string `json:"name"`
	Key       string `json:"key_utf8"`
	Body      []byte `json:"body_base64"`
	Signature string `json:"signature"`
}

func vectorOf(t *testing.T, name string) vector {
	t.Helper()
	text, err := os.ReadFile("../signing/testdata/signatures.json")
	require.NoError(t, err)
	var file struct{ HMAC []vector }
	require.NoError(t, json.Unmarshal(text, &file))
	at := slices.IndexFunc(file.HMAC, func(v vector) bool { return v.Name == name })
	require.GreaterOrEqual(t, at, 0)
	return file.HMAC[at]
}

// setup makes the job of a delivery that has not been attempted.
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

// Spec 1 and M6, V2: Momento's seven keys, byte for byte, and their signature; the
// time of sending is the moment's.
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

// M6: event_timestamp ≤ publish_timestamp ≤ the receiver's now, also where the
// publishing machine's clock is ahead of the sending one's.
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

// Spec 2: a body is what parsing and printing it again gives, whatever the names
// and the text.
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

// received are the headers as a server in Go has them.
func received(r hook.Request) http.Header {
	h := http.Header{}
	for name, values := range r.Header {
		h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], values...)
	}
	return h
}

// Spec 1: the headers of each profile, and no others of ours.
func TestHeaders(t *testing.T) {
	t.Parallel()
	at := time.Unix(1614265330, 0)
	names := func(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

	t.Run("standard with a secret of the client's", func(t *testing.T) {
		t.Parallel()
		r := payload.Request(setup(t, hook.ProfileStandard), at)
		require.Equal(t, []string{"Content-Type", "X-Event-Type", "X-Webhook-Attempt", "X-Webhook-Signature", hook.HopsHeader, "webhook-id", "webhook-timestamp"}, names(r.Header))
		require.Equal(t, []string{"application/json"}, r.Header.Values("Content-Type"))
		require.Equal(t, []string{"user.created"}, r.Header.Values("X-Event-Type"))
		require.Equal(t, []string{"1"}, r.Header.Values("X-Webhook-Attempt"))
		require.Equal(t, "1614265330", received(r).Get("Webhook-Timestamp"))
		require.Equal(t, []string{signing.HexSHA256("whsec_abc123", r.Body)}, r.Header.Values("X-Webhook-Signature"))
	})
	t.Run("momento", func(t *testing.T) {
		t.Parallel()
		r := payload.Request(setup(t, hook.ProfileMomento), at)
		require.Equal(t, []string{"Content-Type", "User-Agent", "momento-signature"}, names(r.Header), "in lower case")
		require.Equal(t, []string{signing.HexSHA3("whsec_abc123", r.Body)}, map[string][]string(r.Header)[momentoSignature])
		require.Equal(t, "Momento/1.0 (Webhooks; +https://docs.momentohq.com/topics/webhooks)", r.Header.Get("User-Agent"))
	})
	t.Run("standard with a Standard Webhooks secret", func(t *testing.T) {
		t.Parallel()
		job := setup(t, hook.ProfileStandard)
		job.Webhook.Secret = standardID
		r := payload.Request(job, at)
		require.Equal(t, []string{
			"Content-Type", "X-Event-Type", "X-Webhook-Attempt", "X-Webhook-Signature", hook.HopsHeader, "webhook-id", "webhook-signature", "webhook-timestamp",
		}, names(r.Header))
		require.Equal(t, job.Event.ID.String(), received(r).Get("Webhook-Id"))
		require.Equal(t, "1614265330", received(r).Get("Webhook-Timestamp"))
		receiver, err := standardwebhooks.NewWebhook(standardID)
		require.NoError(t, err)
		require.NoError(t, receiver.VerifyIgnoringTimestamp(r.Body, received(r)), "as any of its libraries does")
	})
	t.Run("standard in an overlap (S6)", func(t *testing.T) {
		t.Parallel()
		const older = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
		job := setup(t, hook.ProfileStandard)
		job.Webhook.Secret = standardID
		job.Webhook.Previous = []hook.PreviousSecret{{Secret: older, Until: at.Add(time.Second)}}
		r := payload.Request(job, at)
		require.Equal(t, []string{signing.HexSHA256(standardID, r.Body)}, r.Header.Values("X-Webhook-Signature"), "one value, the new one's")
		require.Len(t, strings.Split(received(r).Get("Webhook-Signature"), " "), 2)
		for _, secret := range []string{standardID, older} {
			receiver, err := standardwebhooks.NewWebhook(secret)
			require.NoError(t, err)
			require.NoError(t, receiver.VerifyIgnoringTimestamp(r.Body, received(r)))
		}
		after := payload.Request(job, at.Add(time.Second))
		require.NotContains(t, received(after).Get("Webhook-Signature"), " ", "decided when it is sent")
	})
	t.Run("standard with v1a", func(t *testing.T) {
		t.Parallel()
		private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		job := setup(t, hook.ProfileStandard)
		job.SigningKeys = []ed25519.PrivateKey{private}
		require.NotContains(t, received(payload.Request(job, at)), "Webhook-Signature", "only who asks for it gets it")
		job.Webhook.Schemes = []hook.Scheme{hook.SchemeV1, hook.SchemeV1a}
		r := payload.Request(job, at)
		require.Equal(t, []string{signing.StandardWebhooksV1a(private, job.Event.ID.String(), at.Unix(), r.Body)}, received(r).Values("Webhook-Signature"),
			"beside a secret that has no v1")
		require.Equal(t, job.Event.ID.String(), received(r).Get("Webhook-Id"))
		job.Webhook.Secret = standardID
		require.Regexp(t, `^v1,\S+ v1a,\S+$`, received(payload.Request(job, at)).Get("Webhook-Signature"))
		job.Webhook.Schemes = []hook.Scheme{hook.SchemeV1a}
		r = payload.Request(job, at)
		require.Regexp(t, `^v1a,\S+$`, received(r).Get("Webhook-Signature"))
		require.Equal(t, signing.HexSHA256(standardID, r.Body), r.Header.Get("X-Webhook-Signature"))
	})
	t.Run("commenda", func(t *testing.T) {
		t.Parallel()
		job := setup(t, hook.ProfileCommenda)
		job.Webhook.Secret = standardID
		r := payload.Request(job, at)
		require.Equal(t, []string{"Commenda-X-Secret", "Content-Type"}, names(r.Header))
		require.Equal(t, []string{"application/json"}, r.Header.Values("Content-Type"))
		require.Equal(t, signing.HexSHA256(standardID, r.Body), r.Header.Get("Commenda-X-Secret"), "never the key itself")
	})
	t.Run("with the webhook's own", func(t *testing.T) {
		t.Parallel()
		job := setup(t, hook.ProfileStandard)
		job.Webhook.Headers = map[string]hook.Secret{"authorization": "Bearer geheim", "X-Empty": "", "content-type": "text/plain"}
		r := payload.Request(job, at)
		require.Equal(t, []string{"Bearer geheim"}, received(r).Values("Authorization"))
		require.Equal(t, []string{""}, received(r).Values("X-Empty"))
		require.Equal(t, []string{"application/json"}, received(r).Values("Content-Type"), "ours win")
	})
	t.Run("with a trace that the webhook wants", func(t *testing.T) {
		t.Parallel()
		for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileMomento, hook.ProfileCommenda} {
			job := setup(t, p)
			job.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			job.Webhook.Headers = map[string]hook.Secret{"Traceparent": "the webhook's"}
			want := "the webhook's" // the others' headers are those of the system they stand for
			if p == hook.ProfileStandard {
				want = job.TraceParent
			}
			require.Equal(t, []string{want}, received(payload.Request(job, at)).Values("traceparent"), p)
		}
	})
	t.Run("no profile shows the secret", func(t *testing.T) {
		t.Parallel()
		for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileCommenda} {
			r := payload.Request(setup(t, p), at)
			for name, values := range r.Header {
				require.NotContains(t, strings.Join(values, ""), "whsec_abc123", name)
			}
			require.NotContains(t, string(r.Body), "whsec_abc123")
		}
	})
}

// A request carries the events that it comes from, the last its own. Momento's and Commenda's
// receivers get no header of ours (spec 1) unless the event comes from another.
func TestChain(t *testing.T) {
	t.Parallel()
	for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileMomento, hook.ProfileCommenda} {
		job := setup(t, p)
		own := job.Event.ID.String()
		var first []string
		if p == hook.ProfileStandard {
			first = []string{own}
		}
		require.Equal(t, first, map[string][]string(payload.Request(job, time.Now()).Header)[hook.HopsHeader], p)
		job.Event.Hops = []hook.EventID{{1}, {2}}
		want := hook.EventID{1}.String() + ", " + hook.EventID{2}.String() + ", " + own
		require.Equal(t, []string{want}, map[string][]string(payload.Request(job, time.Now()).Header)[hook.HopsHeader], p)
	}
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

// S13: signatures shown, custom secrets redacted; what is sent is not changed.
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

	// As the client sent it: not in canonical form.
	shown = payload.RedactHeaders(job.Webhook, http.Header{"x-api-key": {"geheim"}, "Date": {"today"}})
	require.Equal(t, http.Header{"x-api-key": {"***"}, "Date": {"today"}}, shown)
	require.Empty(t, payload.RedactHeaders(job.Webhook, nil), "an attempt that came to nothing has no headers")
}

// Within the overlap the header with one value may be that of the secret before,
// beside whose signature webhook-signature has the new one's.
func TestTheSingleValueOfTheSecretBefore(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	for p, signature := range map[hook.Profile]func(secret string, r hook.Request) (want, got string){
		hook.ProfileStandard: func(secret string, r hook.Request) (want, got string) {
			return signing.HexSHA256(secret, r.Body), r.Header.Get("X-Webhook-Signature")
		},
		hook.ProfileCommenda: func(secret string, r hook.Request) (want, got string) {
			return signing.HexSHA256(secret, r.Body), r.Header.Get("Commenda-X-Secret")
		},
		hook.ProfileMomento: func(secret string, r hook.Request) (want, got string) {
			return signing.HexSHA3(secret, r.Body), map[string][]string(r.Header)[momentoSignature][0]
		},
	} {
		job := setup(t, p)
		job.Webhook.Secret = standardID
		require.NoError(t, job.Webhook.RotateLater("whsec_bmV3IHNlY3JldCB0aGF0IGlzIGxvbmcgZW5vdWdo", now, now.Add(time.Hour)))
		r := payload.Request(job, now)
		want, got := signature(standardID, r)
		require.Equal(t, want, got, p)
		if p == hook.ProfileStandard {
			require.Len(t, strings.Fields(received(r).Get("Webhook-Signature")), 2)
		}
		r = payload.Request(job, now.Add(time.Hour))
		want, got = signature(job.Webhook.Secret.Reveal(), r)
		require.Equal(t, want, got, p)
	}
}

// What is sent as a test says so, and nothing else does. Momento's requests have no
// headers of ours: a test's message has the number 0.
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
