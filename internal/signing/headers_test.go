package signing_test

import (
	"bytes"
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"grapnel/internal/signing"
	"grapnel/internal/signing/signingtest"
)

const (
	current  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	previous = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	msgID    = "evt_01h455vb4pex5vsknk084sn02q"
	sentAt   = 1614265330
)

// onTheWire returns the header lines of a request with h as HTTP/1.1 writes it.
func onTheWire(t *testing.T, h http.Header, body []byte) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://receiver.test/", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = h
	var buf bytes.Buffer
	require.NoError(t, req.Write(&buf))
	head, _, found := strings.Cut(buf.String(), "\r\n\r\n")
	require.True(t, found)
	return strings.Split(head, "\r\n")
}

// of returns the keys of a webhook with v1 alone, the current secret first.
func of(secrets ...string) signing.StandardKeys {
	return signing.StandardKeys{Secret: secrets[0], V1: secrets}
}

// received returns the signature headers of the standard profile as a server in Go sees them.
func received(keys signing.StandardKeys, body []byte) http.Header {
	h, canonical := http.Header{}, http.Header{}
	signing.StandardHeaders(h, keys, msgID, sentAt, body)
	for name, values := range h {
		canonical[http.CanonicalHeaderKey(name)] = values
	}
	return canonical
}

// verify verifies a request as a receiver with the Standard Webhooks library does.
func verify(t *testing.T, secret string, body []byte, h http.Header) error {
	t.Helper()
	receiver, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	return receiver.VerifyIgnoringTimestamp(body, h)
}

func TestStandardHeaders(t *testing.T) {
	t.Parallel()
	body := []byte(`{"id":"evt_1","data":{"text":"é😀"}}`)

	t.Run("one secret", func(t *testing.T) {
		t.Parallel()
		h := received(of(current), body)
		require.Len(t, h, 4)
		require.Equal(t, []string{signing.HexSHA256(current, body)}, h.Values("X-Webhook-Signature"))
		require.Equal(t, []string{msgID}, h.Values("Webhook-Id"))
		require.Equal(t, []string{"1614265330"}, h.Values("Webhook-Timestamp"))
		require.NoError(t, verify(t, current, body, h))
		require.Error(t, verify(t, previous, body, h))
		require.Error(t, verify(t, current, append([]byte(" "), body...), h))
	})
	t.Run("overlap after a rotation", func(t *testing.T) {
		t.Parallel()
		h := received(of(current, previous), body)
		require.Equal(t, []string{signing.HexSHA256(current, body)}, h.Values("X-Webhook-Signature"))
		key, ok := signing.StandardWebhooksKey(current)
		require.True(t, ok)
		first, second, found := strings.Cut(h.Get("Webhook-Signature"), " ")
		require.True(t, found)
		require.Equal(t, signing.StandardWebhooksV1(key, msgID, sentAt, body), first)
		require.True(t, strings.HasPrefix(second, "v1,"))
		require.NoError(t, verify(t, current, body, h))
		require.NoError(t, verify(t, previous, body, h))
	})
	t.Run("rotation away from a plain secret", func(t *testing.T) {
		t.Parallel()
		h := received(of(current, "plain"), body)
		require.NotContains(t, h.Get("Webhook-Signature"), " ")
		require.NoError(t, verify(t, current, body, h))
	})
	t.Run("rotation to a plain secret", func(t *testing.T) {
		t.Parallel()
		h := received(of("plain", previous), body)
		require.Equal(t, signing.HexSHA256("plain", body), h.Get("X-Webhook-Signature"))
		require.NoError(t, verify(t, previous, body, h))
	})
	t.Run("plain secret", func(t *testing.T) {
		t.Parallel()
		h := received(of("whsec_not base64"), body)
		require.Equal(t, http.Header{
			"X-Webhook-Signature": {signing.HexSHA256("whsec_not base64", body)}, "Webhook-Id": {msgID}, "Webhook-Timestamp": {"1614265330"},
		}, h)
	})
	t.Run("with v1a", func(t *testing.T) {
		t.Parallel()
		private, ok := signing.ParseStandardWebhooksPrivateKey(signingtest.Load(t, ".").StandardWebhooks[1].Secret)
		require.True(t, ok)
		older := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		keys := of(current, previous)
		keys.V1a = []ed25519.PrivateKey{private, older}
		h := received(keys, body)
		list := strings.Split(h.Get("Webhook-Signature"), " ")
		require.Len(t, list, 4)
		require.Equal(t, signing.StandardWebhooksV1a(private, msgID, sentAt, body), list[2])
		require.Equal(t, signing.StandardWebhooksV1a(older, msgID, sentAt, body), list[3])
		require.NoError(t, verify(t, current, body, h), "a receiver that knows only v1 ignores v1a")
		require.NoError(t, verify(t, previous, body, h))

		alone := received(signing.StandardKeys{Secret: "plain", V1: []string{"plain"}, V1a: keys.V1a}, body)
		require.Equal(t, http.Header{
			"X-Webhook-Signature": {signing.HexSHA256("plain", body)}, "Webhook-Id": {msgID}, "Webhook-Timestamp": {"1614265330"},
			"Webhook-Signature": {list[2] + " " + list[3]},
		}, alone)
	})
}

func TestMomentoHeaderIsLowerCaseOnTheWire(t *testing.T) {
	t.Parallel()
	v1 := signingtest.Load(t, ".").HMAC[0]
	h := http.Header{}
	signing.MomentoHeaders(h, v1.Key, v1.Body)
	require.Contains(t, onTheWire(t, h, v1.Body), "momento-signature: "+v1.Signature)
	require.Len(t, h, 1)

	signing.MomentoHeaders(h, "another", v1.Body)
	require.Len(t, h["momento-signature"], 1) //nolint:staticcheck // in lower case on purpose
}

func TestCommendaHeaders(t *testing.T) {
	t.Parallel()
	v6 := signingtest.Load(t, ".").HMAC[5]
	h := http.Header{}
	signing.CommendaHeaders(h, v6.Key, v6.Body)
	lines := onTheWire(t, h, v6.Body)
	require.Contains(t, lines, "Commenda-X-Secret: "+v6.Signature)
	require.NotContains(t, strings.Join(lines, "\n"), v6.Key)
	require.Len(t, h, 1)
}

func TestStandardHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	body := []byte("{}")
	h := http.Header{}
	signing.StandardHeaders(h, of(current), msgID, sentAt, body)
	lines := onTheWire(t, h, body)
	require.Contains(t, lines, "X-Webhook-Signature: "+signing.HexSHA256(current, body))
	require.Contains(t, lines, "webhook-id: "+msgID, "as Standard Webhooks writes it")
	require.Contains(t, lines, "webhook-timestamp: 1614265330")
	require.Contains(t, strings.Join(lines, "\n"), "\nwebhook-signature: v1,")
}
