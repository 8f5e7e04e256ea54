package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
)

// PublicText returns a public key as Standard Webhooks writes it: whpk_ and base64.
func PublicText(public ed25519.PublicKey) string {
	return publicPrefix + base64.StdEncoding.EncodeToString(public)
}

// KeyX returns the member x of an Ed25519 public key's JWK (RFC 8037).
func KeyX(public ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(public) }

// KeyID returns the id of a public key: the thumbprint of its JWK (RFC 7638, RFC 8037).
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + KeyX(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
