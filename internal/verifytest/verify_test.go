package verifytest_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/signing"
	"grapnel/internal/signing/signingtest"
	verify "grapnel/verify/go"
)

// The modules for receivers have exact copies of the vectors, since they must not need the product.
func TestVectorsAreCopied(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../signing/testdata/signatures.json")
	require.NoError(t, err)
	for _, file := range []string{"../../verify/go/testdata/signatures.json", "../../verify/typescript/test/signatures.json"} {
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "copy internal/signing/testdata/signatures.json to %s", file)
	}
}

type function func(secret string, h http.Header, body []byte) error

// profiles returns the functions that verify one signature, by the header of the signature.
func profiles() map[string]function {
	return map[string]function{
		"X-Webhook-Signature": verify.Standard, "momento-signature": verify.Momento, "Commenda-X-Secret": verify.Commenda,
	}
}

func TestHMACVectors(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, v := range signingtest.Load(t, "../signing").HMAC {
		for name, check := range profiles() {
			h := http.Header{name: {v.Signature}}
			if (name == "momento-signature") != (v.Scheme == "hmac-sha3-256") {
				require.ErrorIs(t, check(v.Key, h, v.Body), verify.ErrNoMatch, "%s as %s", v.Name, name)
				continue
			}
			require.NoError(t, check(v.Key, h, v.Body), v.Name)
			tried++
		}
	}
	require.Equal(t, 3+2*3, tried)
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	const secret = "whsec_abc123"
	body := []byte(`{"id":"evt_1","data":"é"}`)
	for name, check := range profiles() {
		sum := signing.HexSHA256(secret, body)
		if name == "momento-signature" {
			sum = signing.HexSHA3(secret, body)
		}
		for _, spelled := range []string{name, strings.ToLower(name), http.CanonicalHeaderKey(name)} {
			require.NoError(t, check(secret, http.Header{spelled: {sum}}, body), spelled)
		}
		require.ErrorIs(t, check("whsec_abc124", http.Header{name: {sum}}, body), verify.ErrNoMatch)
		require.ErrorIs(t, check(secret, http.Header{name: {sum}}, append(body, '\n')), verify.ErrNoMatch)
		require.ErrorIs(t, check(secret, http.Header{name: {sum}}, nil), verify.ErrNoMatch)
		require.ErrorIs(t, check("", http.Header{name: {sum}}, body), verify.ErrKey, "anybody signs with it")
		for _, missing := range []http.Header{nil, {}, {name: nil}, {name: {""}}, {"X-Other": {sum}}} {
			err := check(secret, missing, body)
			require.ErrorIs(t, err, verify.ErrMissingHeader)
			require.ErrorContains(t, err, name)
		}
		for _, malformed := range []http.Header{
			{name: {sum[:63]}},
			{name: {sum + "00"}},
			{name: {strings.ToUpper(sum)}},
			{name: {"sha256=" + sum}},
			{name: {strings.Repeat("x", 64)}},
			{name: {sum, sum}},
			{name: {sum}, strings.ToUpper(name): {sum}},
			{name: {secret}},
		} {
			err := check(secret, malformed, body)
			require.ErrorIs(t, err, verify.ErrMalformedHeader, "%v", malformed)
			require.NotContains(t, err.Error(), secret)
		}
	}
}

// sent is a request as Grapnel signs it, and the keys to verify it.
type sent struct {
	body    []byte
	h       http.Header
	secrets []string
	public  []string
	at      time.Time
}

func newSent(t *testing.T, secrets []string, private ...ed25519.PrivateKey) sent {
	t.Helper()
	s := sent{body: []byte(`{"id":"evt_1","data":"é"}`), h: http.Header{}, secrets: secrets, at: time.Unix(1614265330, 0)}
	for _, key := range private {
		s.public = append(s.public, signing.StandardWebhooksPublicKey(key))
	}
	written := http.Header{}
	signing.StandardHeaders(written, signing.StandardKeys{Secret: "plain", V1: secrets, V1a: private}, "evt_1", s.at.Unix(), s.body)
	for name, values := range written {
		s.h[http.CanonicalHeaderKey(name)] = values // net/http uses canonical names
	}
	return s
}

// check verifies the request some time after it was signed.
func (s *sent) check(after time.Duration, keys ...string) error {
	return verify.StandardWebhooks(keys, s.h, s.body, verify.WithClock(func() time.Time { return s.at.Add(after) }))
}

const (
	current  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	previous = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	foreign  = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
)

func privateKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func TestStandardWebhooksVectors(t *testing.T) {
	t.Parallel()
	for _, v := range signingtest.Load(t, "../signing").StandardWebhooks {
		key := v.Secret
		if v.Public != "" {
			key = v.Public
		}
		h := http.Header{"Webhook-Id": {v.ID}, "Webhook-Timestamp": {strconv.FormatInt(v.Timestamp, 10)}, "Webhook-Signature": {v.Signature}}
		require.NoError(t, verify.StandardWebhooks([]string{key}, h, []byte(v.Body), verify.WithTolerance(-1)), v.Name)
		require.ErrorIs(t, verify.StandardWebhooks([]string{key}, h, []byte(v.Body)), verify.ErrTooOld, "by default it looks at the clock")
	}
}

// A request verifies with any of its signatures and any of the keys.
func TestStandardWebhooksKeys(t *testing.T) {
	t.Parallel()
	s := newSent(t, []string{current, previous}, privateKey(1), privateKey(2))
	stranger := signing.StandardWebhooksPublicKey(privateKey(3))
	for _, key := range append(s.public, current, previous) {
		require.NoError(t, s.check(0, key))
		require.NoError(t, s.check(0, foreign, stranger, key))
	}
	require.ErrorIs(t, s.check(0, foreign, stranger), verify.ErrNoMatch)

	plain := newSent(t, []string{current})
	require.ErrorIs(t, plain.check(0, s.public...), verify.ErrNoMatch, "there is no v1a")
	asymmetric := newSent(t, nil, privateKey(1))
	require.ErrorIs(t, asymmetric.check(0, current), verify.ErrNoMatch)
	require.NoError(t, asymmetric.check(0, s.public[0]))
}

func TestStandardWebhooksUnusableKeys(t *testing.T) {
	t.Parallel()
	s := newSent(t, []string{current}, privateKey(1))
	private := signing.StandardWebhooksPrivateKey(privateKey(1))
	for _, keys := range [][]string{nil, {""}, {"whsec_"}, {"plain"}, {"whpk_AAEC"}, {"whpk_"}, {private}, {current, "whsec_!"}, {current + "\n"}} {
		err := s.check(0, keys...)
		require.ErrorIs(t, err, verify.ErrKey, "%v", keys)
		require.NotContains(t, err.Error(), private)
	}
}

func TestStandardWebhooksTolerance(t *testing.T) {
	t.Parallel()
	s := newSent(t, []string{current})
	require.NoError(t, s.check(5*time.Minute, current))
	require.NoError(t, s.check(-5*time.Minute, current))
	err := s.check(5*time.Minute+time.Second, current)
	require.ErrorIs(t, err, verify.ErrTooOld)
	require.ErrorContains(t, err, "5m1s ago")
	require.ErrorIs(t, s.check(-5*time.Minute-time.Second, current), verify.ErrTooNew)

	with := func(tolerance, after time.Duration) error {
		return verify.StandardWebhooks([]string{current}, s.h, s.body,
			verify.WithTolerance(tolerance), verify.WithClock(func() time.Time { return s.at.Add(after) }))
	}
	require.NoError(t, with(0, 0))
	require.ErrorIs(t, with(0, time.Second), verify.ErrTooOld)
	require.NoError(t, with(time.Hour, time.Hour))
	require.NoError(t, with(-1, 1000*time.Hour))

	// A forger cannot learn the receiver's clock: a changed timestamp is a wrong signature.
	s.h.Set("Webhook-Timestamp", strconv.FormatInt(s.at.Add(time.Hour).Unix(), 10))
	require.ErrorIs(t, s.check(time.Hour, current), verify.ErrNoMatch)
}

func TestStandardWebhooksHeaders(t *testing.T) {
	t.Parallel()
	fresh := func() sent { return newSent(t, []string{current}) }
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		s := fresh()
		s.h.Del(name)
		err := s.check(0, current)
		require.ErrorIs(t, err, verify.ErrMissingHeader)
		require.ErrorContains(t, err, strings.ToLower(name))
		s = fresh()
		s.h.Add(name, s.h.Get(name))
		require.ErrorIs(t, s.check(0, current), verify.ErrMalformedHeader)
	}
	good := fresh().h.Get("Webhook-Signature")
	for _, list := range []string{"v1", "v1,!", "v2," + good[3:], "v1;" + good[3:], "v1,\x00", strings.Repeat("v2,a ", 32) + good} {
		s := fresh()
		s.h.Set("Webhook-Signature", list)
		require.ErrorIs(t, s.check(0, current), verify.ErrMalformedHeader, list)
	}
	for _, list := range []string{"v2,anything " + good, good + " v9,x", "v1,AAAA " + good, "v1a,AAAA " + good} {
		s := fresh()
		s.h.Set("Webhook-Signature", list)
		require.NoError(t, s.check(0, current), list)
	}
	for _, at := range []string{"now", "-1", "+1614265330", "1614265330.5", "99999999999999999999", "253402300800", " 1614265330"} {
		s := fresh()
		s.h.Set("Webhook-Timestamp", at)
		require.ErrorIs(t, s.check(0, current), verify.ErrMalformedHeader, at)
	}
	s := fresh()
	s.h.Set("Webhook-Id", "evt_2")
	require.ErrorIs(t, s.check(0, current), verify.ErrNoMatch)
	s = fresh()
	s.body = append(s.body, ' ')
	require.ErrorIs(t, s.check(0, current), verify.ErrNoMatch)
}

// This package verifies requests signed by the vendors' library, and refuses each after a change.
func TestTheVendorsLibraryAgrees(t *testing.T) {
	t.Parallel()
	vendor, err := standardwebhooks.NewWebhook(current)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-z0-9_]{1,30}`).Draw(t, "id")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		at := time.Now()
		signature, err := vendor.Sign(id, at, body)
		require.NoError(t, err)
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {fmt.Sprint(at.Unix())}, "Webhook-Signature": {signature}}
		require.NoError(t, verify.StandardWebhooks([]string{current}, h, body))
		require.NoError(t, vendor.Verify(body, h))
		changed := append([]byte{}, body...)
		changed = append(changed, 0)
		changed[rapid.IntRange(0, len(body)).Draw(t, "at")] ^= 1
		require.ErrorIs(t, verify.StandardWebhooks([]string{current}, h, changed), verify.ErrNoMatch)
	})
}

// Keys shorter than the 24 bytes of Standard Webhooks are refused: they were cut off, or can be guessed.
func TestShortKeysAreRefused(t *testing.T) {
	t.Parallel()
	for _, short := range []string{"whsec_AAEC/+8=", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY="} {
		s := newSent(t, []string{short})
		now := verify.WithClock(func() time.Time { return s.at })
		require.ErrorIs(t, verify.StandardWebhooks(s.secrets, s.h, s.body, now), verify.ErrKey)
		require.NoError(t, verify.StandardWebhooks(s.secrets, s.h, s.body, now, verify.WithShortKeys()))
	}
}
