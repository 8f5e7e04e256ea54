// Package signing makes the signatures of Grapnel's requests: the header of each profile and the Standard Webhooks
// signatures. No other package signs. It is pure: it uses no clock, no randomness and no I/O. Its invariant: a
// signature covers the exact bytes of the given body, so callers sign what they send and send what they signed.
//
// The key of the profiles' own headers is the UTF-8 bytes of the whole secret, with a prefix like whsec_; it is never
// base64-decoded. Only the Standard Webhooks signatures use the decoded bytes after the prefix, as that specification
// requires.
package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"golang.org/x/crypto/sha3"
)

// HexSHA256 returns the HMAC-SHA-256 of body in lower-case hex. The key is used literally; an empty one is valid.
func HexSHA256(key string, body []byte) string {
	return hexMAC(sha256.New, key, body)
}

// HexSHA3 returns the HMAC-SHA3-256 of body in lower-case hex, with SHA-3 as published in FIPS 202, not the Keccak
// submitted to NIST. The key is used literally; an empty one is valid.
func HexSHA3(key string, body []byte) string {
	return hexMAC(sha3.New256, key, body)
}

func hexMAC(newHash func() hash.Hash, key string, body []byte) string {
	mac := hmac.New(newHash, []byte(key))
	mac.Write(body) // a hash never returns an error
	var sum [sha256.Size]byte
	return hex.EncodeToString(mac.Sum(sum[:0]))
}
