package signing_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/signing"
	"grapnel/internal/signing/signingtest"
)

func TestHMACVectors(t *testing.T) {
	t.Parallel()
	for _, vector := range signingtest.Load(t, ".").HMAC {
		t.Run(vector.Name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, vector.Body)
			var got string
			switch vector.Scheme {
			case "hmac-sha256":
				got = signing.HexSHA256(vector.Key, vector.Body)
			case "hmac-sha3-256":
				got = signing.HexSHA3(vector.Key, vector.Body)
			}
			require.Equal(t, vector.Signature, got)
		})
	}
}

func TestStandardWebhooksVectors(t *testing.T) {
	t.Parallel()
	for _, vector := range signingtest.Load(t, ".").StandardWebhooks {
		t.Run(vector.Name, func(t *testing.T) {
			t.Parallel()
			var got string
			switch vector.Scheme {
			case "standard-webhooks-v1":
				key, ok := signing.StandardWebhooksKey(vector.Secret)
				require.True(t, ok)
				got = signing.StandardWebhooksV1(key, vector.ID, vector.Timestamp, []byte(vector.Body))
			case "standard-webhooks-v1a":
				priv, ok := signing.ParseStandardWebhooksPrivateKey(vector.Secret)
				require.True(t, ok)
				require.Equal(t, vector.Public, signing.StandardWebhooksPublicKey(priv))
				got = signing.StandardWebhooksV1a(priv, vector.ID, vector.Timestamp, []byte(vector.Body))
			}
			require.Equal(t, vector.Signature, got)
		})
	}
}

func TestStandardWebhooksKey(t *testing.T) {
	t.Parallel()
	key, ok := signing.StandardWebhooksKey("whsec_AAEC/+8=")
	require.True(t, ok)
	require.Equal(t, []byte{0, 1, 2, 0xff, 0xef}, key)

	for _, secret := range []string{
		"", "whsec_", "AAEC/+8=", "whsec_AAEC/+8", "whsec_AAEC_-8=", "whsec_abc123", "whsec_abc123!", "whsec_abc12", "WHSEC_AAEC/+8=",
		"whsk_AAEC/+8=", " whsec_AAEC/+8=", "whsec_AAEC/+8= ", "whsec_AAEC\n/+8=", "whsec_\r\n", "whsec_====",
	} {
		_, ok := signing.StandardWebhooksKey(secret)
		require.False(t, ok, "%q", secret)
	}
}

// RFC 8037, appendices A.1 to A.3.
func TestKeyID(t *testing.T) {
	t.Parallel()
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	require.NoError(t, err)
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	require.Equal(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", signing.KeyX(public))
	require.Equal(t, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", signing.KeyID(public))
	again, ok := signing.ParseStandardWebhooksPrivateKey(signing.StandardWebhooksPrivateKey(private))
	require.True(t, ok)
	require.Equal(t, private, again)
	require.Equal(t, signing.PublicText(public), signing.StandardWebhooksPublicKey(private))
}

func TestParseStandardWebhooksPrivateKey(t *testing.T) {
	t.Parallel()
	secret := signingtest.Load(t, ".").StandardWebhooks[1].Secret
	_, ok := signing.ParseStandardWebhooksPrivateKey(secret)
	require.True(t, ok)

	for name, secret := range map[string]string{
		"empty":           "",
		"no prefix":       strings.TrimPrefix(secret, "whsk_"),
		"symmetric":       "whsec_" + strings.TrimPrefix(secret, "whsk_"),
		"too short":       secret[:len(secret)-4],
		"seed only":       "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=",
		"other public":    secret[:60] + "AAAA" + secret[64:],
		"not base64":      secret[:60] + "!!!!" + secret[64:],
		"prefix and nope": "whsk_",
	} {
		priv, ok := signing.ParseStandardWebhooksPrivateKey(secret)
		require.False(t, ok, name)
		require.Nil(t, priv, name)
	}
}

// The receiver verifies with the whole secret. A decoded key, or a key without the prefix, would give another
// signature.
func TestProfileKeyIsTheSecretAsItStands(t *testing.T) {
	t.Parallel()
	body := []byte("{}")
	require.NotEqual(t, signing.HexSHA256("whsec_AAEC/+8=", body), signing.HexSHA256("AAEC/+8=", body))
	key, ok := signing.StandardWebhooksKey("whsec_AAEC/+8=")
	require.True(t, ok)
	require.NotEqual(t, signing.HexSHA256("whsec_AAEC/+8=", body), signing.HexSHA256(string(key), body))
}

func BenchmarkSign(b *testing.B) {
	v := signingtest.Load(b, ".")
	body := []byte(strings.Repeat(`{"id":"evt_1"},`, 20))
	key, _ := signing.StandardWebhooksKey(v.StandardWebhooks[0].Secret)
	priv, _ := signing.ParseStandardWebhooksPrivateKey(v.StandardWebhooks[1].Secret)
	for _, bench := range []struct {
		name string
		sign func() string
	}{
		{"HexSHA256", func() string { return signing.HexSHA256("whsec_abc123", body) }},
		{"HexSHA3", func() string { return signing.HexSHA3("1234567890", body) }},
		{"V1", func() string { return signing.StandardWebhooksV1(key, "msg_1", 1614265330, body) }},
		{"V1a", func() string { return signing.StandardWebhooksV1a(priv, "msg_1", 1614265330, body) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.sign()
			}
		})
	}
}
