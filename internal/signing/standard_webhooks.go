package signing

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// The prefixes of Standard Webhooks keys: symmetric, private and public.
const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
)

// StandardWebhooksKey returns the key of Standard Webhooks v1 in a secret: the bytes after whsec_, decoded from padded
// standard base64. ok is false if the secret has another form or no bytes. Such a secret is valid for the profiles' own
// headers and has no Standard Webhooks signature.
func StandardWebhooksKey(secret string) (key []byte, ok bool) {
	return decodeKey(secret, secretPrefix)
}

// StandardWebhooksV1 returns the symmetric signature of a message,
// "v1,<base64>": the HMAC-SHA-256 of "id.timestamp.body". The timestamp is in
// Unix seconds and must be the one sent in the Webhook-Timestamp header.
func StandardWebhooksV1(key []byte, id string, timestamp int64, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(appendPrefix(nil, id, timestamp)) // a hash never returns an error
	mac.Write(body)
	var sum [sha256.Size]byte
	return versioned("v1,", mac.Sum(sum[:0]))
}

// StandardWebhooksV1a returns the asymmetric signature of a message, "v1a,<base64>": Ed25519 of "id.timestamp.body".
// The timestamp is in Unix seconds. It panics if the length of priv is not ed25519.PrivateKeySize, which keys of
// [ParseStandardWebhooksPrivateKey] always have.
func StandardWebhooksV1a(priv ed25519.PrivateKey, id string, timestamp int64, body []byte) string {
	content := append(appendPrefix(make([]byte, 0, len(id)+len(body)+22), id, timestamp), body...)
	return versioned("v1a,", ed25519.Sign(priv, content))
}

// ParseStandardWebhooksPrivateKey returns the key in a whsk_ secret: the prefix and the padded standard base64 of 64
// bytes, seed and public key. ok is false if the secret has another form, or if its halves don't belong together: such
// a key would make signatures that nobody can verify and would leak the private key.
func ParseStandardWebhooksPrivateKey(secret string) (priv ed25519.PrivateKey, ok bool) {
	key, ok := decodeKey(secret, privatePrefix)
	if !ok || len(key) != ed25519.PrivateKeySize {
		return nil, false
	}
	priv = ed25519.NewKeyFromSeed(key[:ed25519.SeedSize])
	if !priv.Equal(ed25519.PrivateKey(key)) {
		return nil, false
	}
	return priv, true
}

// StandardWebhooksPrivateKey returns the text of a key that [ParseStandardWebhooksPrivateKey] reads.
func StandardWebhooksPrivateKey(priv ed25519.PrivateKey) string {
	return privatePrefix + base64.StdEncoding.EncodeToString(priv)
}

// StandardWebhooksPublicKey returns the public key that verifies v1a signatures of priv: whpk_ and base64.
func StandardWebhooksPublicKey(priv ed25519.PrivateKey) string {
	return PublicText(ed25519.PublicKey(priv[ed25519.PrivateKeySize-ed25519.PublicKeySize:]))
}

func decodeKey(secret, prefix string) ([]byte, bool) {
	encoded, ok := strings.CutPrefix(secret, prefix)
	// DecodeString ignores line breaks, which other libraries refuse.
	if !ok || encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return nil, false
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	return key, err == nil
}

// appendPrefix appends the signed text before the body.
func appendPrefix(dst []byte, id string, timestamp int64) []byte {
	dst = append(append(dst, id...), '.')
	return append(strconv.AppendInt(dst, timestamp, 10), '.')
}

func versioned(version string, signature []byte) string {
	return string(base64.StdEncoding.AppendEncode([]byte(version), signature))
}
