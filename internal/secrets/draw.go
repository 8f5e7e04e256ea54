package secrets

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"strings"

	"grapnel/internal/hook"
)

// apiKeyPrefix begins every key that was drawn here, so that scanners for leaked credentials recognise one.
const apiKeyPrefix = "gk_"

// randomSize is the number of random bytes of a secret: 256 bits, the size of the HMAC's output. Spec 7 requires 128 at
// least.
const randomSize = 32

// NewAPIKey draws the secret text of an API key: gk_ and 52 characters of lower-case base32 (spec 7).
func NewAPIKey() hook.Secret {
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random())
	return hook.Secret(apiKeyPrefix + strings.ToLower(text))
}

// NewPortalToken draws the token of a portal session: gps_ and 52 characters of lower-case base32, 256 bits (P2).
func NewPortalToken() hook.Secret {
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random())
	return hook.Secret(hook.PortalTokenPrefix + strings.ToLower(text))
}

// NewWebhookSecret draws a webhook's signing secret: base64 of 32 random bytes, with the prefix whsec_ of Standard
// Webhooks for the standard profile.
func NewWebhookSecret(p hook.Profile) hook.Secret {
	text := base64.StdEncoding.EncodeToString(random())
	if p == hook.ProfileMomento || p == hook.ProfileCommenda {
		return hook.Secret(text)
	}
	return hook.Secret("whsec_" + text)
}

// NewSigningKey draws a tenant's Ed25519 key pair for v1a signatures.
func NewSigningKey() (ed25519.PublicKey, ed25519.PrivateKey) {
	private := ed25519.NewKeyFromSeed(random())
	return private.Public().(ed25519.PublicKey), private
}

func random() []byte {
	b := make([]byte, randomSize)
	rand.Read(b) // it never fails since Go 1.24
	return b
}
