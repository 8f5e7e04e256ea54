package diagnose_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/canonjson"
	"grapnel/internal/diagnose"
	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/secrets"
	"grapnel/internal/signing"
)

// scene is a request as it was sent, and what is known about it.
type scene struct {
	job  hook.Job
	at   time.Time
	sent hook.Request
	c    diagnose.Case
}

var (
	now     = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	another = hook.WebhookID{9}
)

// setup draws a request of a profile. The case has what the API would give, with a request that arrived unharmed.
func setup(t *rapid.T, p hook.Profile) *scene {
	return sceneOf(t, p, p == hook.ProfileStandard && rapid.Bool().Draw(t, "v1a"))
}

// sceneOf is setup with a webhook that signs by v1a, too, or does not.
func sceneOf(t *rapid.T, p hook.Profile, v1a bool) *scene {
	w := &hook.Webhook{ID: hook.WebhookID{7}, Profile: p, URL: "https://example.com", Secret: secrets.NewWebhookSecret(p), Active: true}
	if v1a {
		w.Schemes = []hook.Scheme{hook.SchemeV1, hook.SchemeV1a}
	}
	w.Normalize()
	text := rapid.StringMatching(`[a-zé😀<>& ]{0,12}`)
	value := map[string]any{
		"z": text.Draw(t, "z"), "a": text.Draw(t, "a"), "price": rapid.Float64Range(-1e6, 1e6).Draw(t, "price"), "list": []any{1, true, nil}, "name": "Zoë",
	}
	raw, err := json.Marshal(value)
	require.NoError(t, err)
	data, err := canonjson.Canonicalize(raw)
	require.NoError(t, err)
	if p == hook.ProfileMomento {
		data = canonjson.AppendString(nil, string(data))
	}
	s := &scene{at: now, job: hook.Job{Webhook: w, Event: hook.Event{
		ID: hook.EventID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Type: "user.created", Cache: "c", Sequence: 5, OrganizationID: "acme",
		Data: data, CreatedAt: now.Add(-time.Minute),
	}}}
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	s.job.SigningKeys = []ed25519.PrivateKey{private}
	s.sent = payload.Request(&s.job, s.at)
	s.c = diagnose.Case{
		Profile: p, Now: now, Received: diagnose.Request{Header: s.sent.Header.Clone(), Body: bytes.Clone(s.sent.Body)},
		Attempts: []diagnose.Sent{{Number: 1, Header: s.sent.Header.Clone(), Body: s.sent.Body}},
		Secrets: []diagnose.Secret{
			{Value: w.Secret},
			{Value: secrets.NewWebhookSecret(p), Kind: diagnose.Previous, Until: now.Add(-time.Hour)},
			{Value: secrets.NewWebhookSecret(p), Kind: diagnose.Other, Webhook: another},
		},
		Public: []diagnose.Public{{Key: private.Public().(ed25519.PublicKey)}},
	}
	return s
}

// signatureHeaders returns the names of the headers with signatures, as they are sent.
func (s *scene) signatureHeaders() (names []string) {
	for _, name := range []string{"X-Webhook-Signature", "webhook-signature", "momento-signature", "Commenda-X-Secret"} {
		if len(s.sent.Header[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// resign signs what arrived with another key, in the forms that a mistake leads to; v1a is left as it is.
func (s *scene) resign(hex, v1 []byte) {
	h, body := s.c.Received.Header, s.c.Received.Body
	switch s.c.Profile {
	case hook.ProfileMomento:
		signing.MomentoHeaders(h, string(hex), body)
	case hook.ProfileCommenda:
		signing.CommendaHeaders(h, string(hex), body)
	case hook.ProfileStandard:
		h["X-Webhook-Signature"] = []string{signing.HexSHA256(string(hex), body)}
		h["webhook-signature"] = []string{signing.StandardWebhooksV1(v1, h["webhook-id"][0], s.at.Unix(), body)}
	}
}

// keysOf returns the right keys of a secret.
func keysOf(secret hook.Secret) (hex, v1 []byte) {
	v1, _ = signing.StandardWebhooksKey(secret.Reveal())
	return []byte(secret.Reveal()), v1
}

// decoded returns the bytes that the base64 of a secret decodes to.
func decoded(t *rapid.T, secret hook.Secret) []byte {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	require.NoError(t, err)
	return b
}

// damage is something that happens to a request, and the cause that the diagnosis must name.
type damage struct {
	cause diagnose.Cause
	only  hook.Profile // empty for every profile
	do    func(t *rapid.T, s *scene)
}

func reserialized(t *rapid.T, body []byte) []byte {
	var v any
	require.NoError(t, json.Unmarshal(body, &v))
	var out []byte
	var err error
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0: // sorted members, escaped <>&
		out, err = json.Marshal(v)
		if bytes.Equal(out, body) {
			out = append(out, '\n')
		}
	case 1:
		out, err = json.MarshalIndent(v, "", "  ")
	default: // a JSON string of the body
		out, err = json.Marshal(string(body))
	}
	require.NoError(t, err)
	return out
}

func damages() map[string]damage {
	return map[string]damage{
		"unharmed":                 {"", "", func(*rapid.T, *scene) {}},
		"unharmed, current secret": {"", "", func(_ *rapid.T, s *scene) { s.c.Given = s.job.Webhook.Secret }},
		"unharmed, public key": {"", hook.ProfileStandard, func(t *rapid.T, s *scene) {
			if s.job.Webhook.Signs(hook.SchemeV1a) {
				s.c.Given = hook.Secret(signing.PublicText(s.c.Public[0].Key))
			}
		}},
		"headers in lower case": {"", "", func(_ *rapid.T, s *scene) {
			h := http.Header{}
			for name, values := range s.c.Received.Header {
				h[strings.ToLower(name)] = values
			}
			s.c.Received.Header = h
		}},
		"another webhook's secret": {diagnose.AnotherWebhook, "", func(_ *rapid.T, s *scene) { s.c.Given = s.c.Secrets[2].Value }},
		"signed for another webhook": {diagnose.AnotherWebhook, "", func(_ *rapid.T, s *scene) {
			s.resign(keysOf(s.c.Secrets[2].Value))
		}},
		"rotated secret":                            {diagnose.Rotated, "", func(_ *rapid.T, s *scene) { s.c.Given = s.c.Secrets[1].Value }},
		"signed before the rotation":                {diagnose.Rotated, "", func(_ *rapid.T, s *scene) { rotate(s); s.c.Given = s.c.Secrets[0].Value }},
		"signed before the rotation, nothing given": {diagnose.Rotated, "", func(_ *rapid.T, s *scene) { rotate(s) }},
		"rotated and forgotten": {diagnose.Rotated, "", func(_ *rapid.T, s *scene) {
			rotate(s)
			s.c.Secrets = s.c.Secrets[:1]
			s.c.Given = s.c.Secrets[0].Value
		}},
		"unknown secret": {diagnose.UnknownSecret, "", func(_ *rapid.T, s *scene) { s.c.Given = secrets.NewWebhookSecret(s.c.Profile) }},
		"unknown public key": {diagnose.UnknownSecret, hook.ProfileStandard, func(t *rapid.T, s *scene) {
			if !s.job.Webhook.Signs(hook.SchemeV1a) {
				*s = *sceneOf(t, hook.ProfileStandard, true)
			}
			public, _ := secrets.NewSigningKey()
			s.c.Given = hook.Secret(signing.PublicText(public))
		}},
		"white space":     {diagnose.SecretSpace, "", func(_ *rapid.T, s *scene) { s.c.Given = s.job.Webhook.Secret + "\n" }},
		"prefix stripped": {diagnose.PrefixStripped, hook.ProfileStandard, func(_ *rapid.T, s *scene) { s.c.Given = s.job.Webhook.Secret[len("whsec_"):] }},
		"decoded, as text": {diagnose.KeyDecoded, "", func(t *rapid.T, s *scene) {
			s.c.Given = hook.Secret(fmt.Sprintf("%x", decoded(t, s.job.Webhook.Secret)))
		}},
		"computed with the decoded key": {diagnose.KeyDecoded, "", func(t *rapid.T, s *scene) {
			key := string(decoded(t, s.job.Webhook.Secret))
			s.c.Computed = signing.HexSHA256(key, s.sent.Body)
			if s.c.Profile == hook.ProfileMomento {
				s.c.Computed = signing.HexSHA3(key, s.sent.Body)
			}
			s.c.Given = s.job.Webhook.Secret
		}},
		"signed with the decoded key": {diagnose.KeyDecoded, "", func(t *rapid.T, s *scene) {
			_, v1 := keysOf(s.job.Webhook.Secret)
			v1a := map[string][]string(s.c.Received.Header)["webhook-signature"]
			s.resign(decoded(t, s.job.Webhook.Secret), v1)
			if v1a != nil {
				s.c.Received.Header["webhook-signature"] = v1a
			}
		}},
		"computed without the prefix": {diagnose.PrefixStripped, hook.ProfileStandard, func(_ *rapid.T, s *scene) {
			s.c.Computed = strings.ToUpper(signing.HexSHA256(s.job.Webhook.Secret.Reveal()[len("whsec_"):], s.sent.Body))
		}},
		"computed without decoding": {diagnose.KeyNotDecoded, hook.ProfileStandard, func(_ *rapid.T, s *scene) {
			s.c.Computed = signing.StandardWebhooksV1([]byte(s.job.Webhook.Secret.Reveal()), s.job.Event.ID.String(), s.at.Unix(), s.sent.Body)
		}},
		"computed right": {"", hook.ProfileStandard, func(_ *rapid.T, s *scene) { s.c.Computed = s.sent.Header["X-Webhook-Signature"][0] }},
		"re-serialised":  {diagnose.BodyReserialized, "", func(t *rapid.T, s *scene) { s.c.Received.Body = reserialized(t, s.sent.Body) }},
		"truncated": {diagnose.BodyTruncated, "", func(t *rapid.T, s *scene) {
			s.c.Received.Body = s.sent.Body[:rapid.IntRange(0, len(s.sent.Body)-1).Draw(t, "length")]
		}},
		"a byte flipped": {diagnose.BodyAltered, "", func(t *rapid.T, s *scene) {
			at := bytes.Index(s.c.Received.Body, []byte(`user.created`)) + rapid.IntRange(0, 11).Draw(t, "at")
			s.c.Received.Body[at] ^= 1
		}},
		"in base64":  {diagnose.BodyAltered, "", func(_ *rapid.T, s *scene) { s.c.Received.Body = []byte(base64.StdEncoding.EncodeToString(s.sent.Body)) }},
		"as Latin-1": {diagnose.BodyAltered, "", func(_ *rapid.T, s *scene) { s.c.Received.Body = latin1(s.sent.Body) }},
		"header missing": {diagnose.HeaderMissing, "", func(t *rapid.T, s *scene) {
			delete(s.c.Received.Header, rapid.SampledFrom(s.signatureHeaders()).Draw(t, "header"))
		}},
		"webhook-id missing": {diagnose.HeaderMissing, hook.ProfileStandard, func(_ *rapid.T, s *scene) { delete(s.c.Received.Header, "webhook-id") }},
		"webhook-id altered": {diagnose.HeaderAltered, hook.ProfileStandard, func(_ *rapid.T, s *scene) { s.c.Received.Header["webhook-id"] = []string{"evt_other"} }},
		"signature altered": {diagnose.HeaderAltered, "", func(t *rapid.T, s *scene) {
			name := rapid.SampledFrom(s.signatureHeaders()).Draw(t, "header")
			if name == "webhook-signature" {
				s.c.Received.Header[name] = []string{"v1,AAAA"}
				return
			}
			s.c.Received.Header[name] = []string{"sha256=" + s.sent.Header[name][0]}
		}},
		"timestamp altered": {diagnose.TimestampOff, hook.ProfileStandard, func(t *rapid.T, s *scene) {
			off := rapid.Int64Range(1, 1e6).Draw(t, "off")
			s.c.Received.Header["webhook-timestamp"] = []string{fmt.Sprint(s.at.Unix() + off)}
		}},
		"clock off": {diagnose.TimestampOff, hook.ProfileStandard, func(t *rapid.T, s *scene) {
			off := time.Duration(rapid.Int64Range(301, 1e6).Draw(t, "off")) * time.Second
			if rapid.Bool().Draw(t, "slow") {
				off = -off
			}
			s.c.ReceivedAt = s.at.Add(off)
		}},
		"clock right": {"", hook.ProfileStandard, func(_ *rapid.T, s *scene) { s.c.ReceivedAt = s.at.Add(-299 * time.Second) }},
		"another event's request": {diagnose.AnotherRequest, "", func(_ *rapid.T, s *scene) {
			job := s.job
			job.Event.ID, job.Event.Sequence = hook.EventID{1, 2, 3}, 6
			r := payload.Request(&job, s.at)
			s.c.Received = diagnose.Request{Header: r.Header, Body: r.Body}
		}},
		"another attempt": {"", "", func(_ *rapid.T, s *scene) {
			job := s.job
			job.Delivery.Attempts = 1
			r := payload.Request(&job, s.at.Add(time.Minute))
			s.c.Attempts = append(s.c.Attempts, diagnose.Sent{Number: 2, Header: r.Header, Body: r.Body})
		}},
		"an attempt that is not logged yet": {"", hook.ProfileStandard, func(_ *rapid.T, s *scene) {
			r := payload.Request(&s.job, s.at.Add(time.Minute))
			s.c.Received = diagnose.Request{Header: r.Header, Body: r.Body}
		}},
		"the body is erased":                  {"", "", func(_ *rapid.T, s *scene) { s.c.Attempts[0].Body = nil }},
		"the body is erased, re-serialised":   {diagnose.BodyReserialized, "", func(t *rapid.T, s *scene) { s.c.Attempts[0].Body = nil; indent(t, s) }},
		"the body is erased, another secret":  {diagnose.AnotherWebhook, "", func(_ *rapid.T, s *scene) { s.c.Attempts[0].Body = nil; s.c.Given = s.c.Secrets[2].Value }},
		"the body is erased, a byte flipped":  {diagnose.Unexplained, "", func(_ *rapid.T, s *scene) { s.c.Attempts[0].Body = nil; s.c.Received.Body[12] ^= 1 }},
		"the webhook is deleted":              {"", "", func(_ *rapid.T, s *scene) { s.c.Secrets, s.c.Public = nil, nil }},
		"the webhook is deleted, truncated":   {diagnose.BodyTruncated, "", func(_ *rapid.T, s *scene) { s.c.Secrets, s.c.Public, s.c.Received.Body = nil, nil, s.sent.Body[:9] }},
		"in the overlap, the secret before":   {"", "", func(_ *rapid.T, s *scene) { overlap(s); s.c.Given = s.c.Secrets[1].Value; s.single() }},
		"in the overlap, nothing given":       {"", "", func(_ *rapid.T, s *scene) { overlap(s) }},
		"in the overlap, one signature gone":  {diagnose.HeaderAltered, hook.ProfileStandard, func(_ *rapid.T, s *scene) { overlap(s); firstOnly(s) }},
		"in the overlap, the order reversed":  {"", hook.ProfileStandard, func(_ *rapid.T, s *scene) { overlap(s); reversed(s) }},
		"secret and body, the body re-served": {diagnose.BodyReserialized, "", func(t *rapid.T, s *scene) { indent(t, s); s.c.Given = s.job.Webhook.Secret }},
	}
}

// latin1 reads text as Latin-1 and writes it as UTF-8.
func latin1(b []byte) (out []byte) {
	for _, c := range b {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

func indent(t *rapid.T, s *scene) {
	var out bytes.Buffer
	require.NoError(t, json.Indent(&out, s.sent.Body, "", " "))
	s.c.Received.Body = out.Bytes()
}

// rotate makes the secret that signed a previous one, which has expired.
func rotate(s *scene) {
	s.c.Secrets = []diagnose.Secret{
		{Value: secrets.NewWebhookSecret(s.c.Profile)}, {Value: s.job.Webhook.Secret, Kind: diagnose.Previous, Until: now.Add(-time.Minute)}, s.c.Secrets[2],
	}
}

// overlap signs the request within the overlap of a rotation.
func overlap(s *scene) {
	w := s.job.Webhook
	older := w.Secret
	if err := w.Rotate(secrets.NewWebhookSecret(w.Profile), now, now.Add(time.Hour)); err != nil {
		panic(err)
	}
	s.c.Secrets = []diagnose.Secret{{Value: w.Secret}, {Value: older, Kind: diagnose.Previous, Until: now.Add(time.Hour)}}
	s.again()
}

// again sends the request once more.
func (s *scene) again() {
	s.sent = payload.Request(&s.job, s.at)
	s.c.Received = diagnose.Request{Header: s.sent.Header.Clone(), Body: bytes.Clone(s.sent.Body)}
	s.c.Attempts = []diagnose.Sent{{Number: 1, Header: s.sent.Header.Clone(), Body: s.sent.Body}}
}

// single makes the headers with one value carry the signature of the secret before.
func (s *scene) single() {
	s.job.Webhook.Previous[0].Single = true
	s.again()
}

func firstOnly(s *scene) {
	h := s.c.Received.Header
	first, _, _ := strings.Cut(map[string][]string(h)["webhook-signature"][0], " ")
	h["webhook-signature"] = []string{first}
}

func reversed(s *scene) {
	h := s.c.Received.Header
	first, rest, _ := strings.Cut(map[string][]string(h)["webhook-signature"][0], " ")
	h["webhook-signature"] = []string{rest + " " + first}
}

// Law, A5: whatever is done to a real request, the diagnosis names that cause and no other one.
func TestTheCauseIsNamed(t *testing.T) {
	t.Parallel()
	seen := map[diagnose.Cause]bool{}
	for name, d := range damages() {
		seen[d.cause] = true
		for _, p := range hook.Profiles() {
			if d.only != "" && d.only != p {
				continue
			}
			t.Run(name+"/"+string(p), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					s := setup(t, p)
					d.do(t, s)
					s.check(t, d.cause, diagnose.Diagnose(s.c))
				})
			})
		}
	}
	for _, cause := range diagnose.Causes() {
		require.True(t, seen[cause], "a test for %s", cause)
	}
}

func (s *scene) check(t *rapid.T, want diagnose.Cause, r diagnose.Report) {
	var got []diagnose.Cause
	for _, f := range r.Findings {
		got = append(got, f.Cause)
		require.True(t, strings.HasSuffix(f.Summary, "."), f.Summary)
		require.True(t, strings.HasSuffix(f.NextStep, "."), f.NextStep)
		if f.Difference != nil {
			require.NotEqual(t, f.Difference.Sent, f.Difference.Received)
		}
	}
	if want == "" {
		require.Empty(t, got)
		require.True(t, r.Verified())
	} else {
		require.Equal(t, []diagnose.Cause{want}, got, "%+v", r.Findings)
	}
	text := fmt.Sprintf("%+v", r)
	for _, secret := range s.c.Secrets {
		require.NotContains(t, text, strings.TrimPrefix(secret.Value.Reveal(), "whsec_"), "no report has a secret")
	}
}

// aloneDamages are those that a receiver can recognize with nothing but the request and its secret.
func aloneDamages() map[string]diagnose.Cause {
	return map[string]diagnose.Cause{
		"unharmed": "", "headers in lower case": "", "re-serialised": diagnose.BodyReserialized, "in base64": diagnose.BodyAltered,
		"as Latin-1": diagnose.BodyAltered, "prefix stripped": diagnose.PrefixStripped, "white space": diagnose.SecretSpace,
		"signed with the decoded key": diagnose.KeyDecoded, "webhook-id missing": diagnose.HeaderMissing, "webhook-id altered": diagnose.HeaderAltered,
		"unknown secret": diagnose.Unexplained, "a byte flipped": diagnose.Unexplained, "timestamp altered": diagnose.HeaderAltered, "clock off": diagnose.TimestampOff,
		"truncated": diagnose.BodyTruncated,
	}
}

// With the secret alone, as in grapnel verify, what can be known is found.
func TestAlone(t *testing.T) {
	t.Parallel()
	all := damages()
	for name, want := range aloneDamages() {
		d, ok := all[name]
		require.True(t, ok, name)
		for _, p := range hook.Profiles() {
			if d.only != "" && d.only != p {
				continue
			}
			t.Run(name+"/"+string(p), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					s := setup(t, p)
					s.c.Given = s.job.Webhook.Secret
					s.c.Received.Header["Content-Length"] = []string{fmt.Sprint(len(s.sent.Body))}
					d.do(t, s)
					if name == "re-serialised" { // the order of members within data can't be restored
						indent(t, s)
					}
					s.c.Secrets, s.c.Public, s.c.Attempts = nil, nil, nil
					s.check(t, want, diagnose.Diagnose(s.c))
				})
			})
		}
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := setup(t, hook.ProfileStandard)
		find := func(change func(c *diagnose.Case)) diagnose.Finding {
			c := s.c
			c.Received.Header = maps.Clone(c.Received.Header)
			change(&c)
			r := diagnose.Diagnose(c)
			require.Len(t, r.Findings, 1)
			return r.Findings[0]
		}
		f := find(func(c *diagnose.Case) { c.Given = c.Secrets[1].Value })
		require.Equal(t, now.Add(-time.Hour), f.Until)
		require.Contains(t, f.Summary, "2026-01-15T11:00:00Z")
		f = find(func(c *diagnose.Case) { c.Given = c.Secrets[2].Value })
		require.Equal(t, another, f.Webhook)
		f = find(func(c *diagnose.Case) { c.Received.Header["webhook-timestamp"] = []string{fmt.Sprint(now.Unix() - 90)} })
		require.Equal(t, -90*time.Second, f.Offset)
		require.Contains(t, f.Summary, "-1m30s")
		f = find(func(c *diagnose.Case) { delete(c.Received.Header, "webhook-signature") })
		require.Equal(t, "webhook-signature", f.Header)
		f = find(func(c *diagnose.Case) { c.Received.Body = append([]byte(" "), c.Received.Body...) })
		require.Equal(t, 0, f.Difference.At)
		require.True(t, bytes.HasPrefix(f.Difference.Sent, []byte(`{"id":"evt_`)))
		require.True(t, bytes.HasPrefix(f.Difference.Received, []byte(` {"id":"evt_`)))
		require.Equal(t, f.Difference.SentLength+1, f.Difference.ReceivedLength)
	})
}

// A case may be made of anything.
func TestNothingPanics(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := setup(t, rapid.SampledFrom(hook.Profiles()).Draw(t, "profile"))
		for _, name := range []string{"X-Webhook-Signature", "webhook-signature", "webhook-id", "webhook-timestamp", "momento-signature", "commenda-x-secret"} {
			if rapid.Bool().Draw(t, "set") {
				s.c.Received.Header[name] = []string{rapid.String().Draw(t, name)}
			}
		}
		s.c.Received.Body = rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		s.c.Given, s.c.Computed = hook.Secret(rapid.String().Draw(t, "given")), rapid.String().Draw(t, "computed")
		if rapid.Bool().Draw(t, "no log") {
			s.c.Attempts = nil
		}
		require.False(t, func() bool { r := diagnose.Diagnose(s.c); return r.Verified() }())
	})
}
