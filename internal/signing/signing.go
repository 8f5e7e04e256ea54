// Package signing is the one place that signs what Grapnel delivers: the header
// of each profile and the Standard Webhooks signatures. It is pure (no clock, no
// random source, no I/O) and imports the standard library and x/crypto/sha3
// only. Its invariant: a signature is over the exact bytes of the body given,
// so sign what is sent and send what was signed.
//
// The key of the profiles' own headers is the UTF-8 bytes of the whole secret
// string, a prefix like whsec_ included; it is never base64-decoded. Only the
// Standard Webhooks signatures use the decoded bytes behind the prefix, as that
// specification wants it.
package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"golang.org/x/crypto/sha3"
)

// HexSHA256 returns the HMAC-SHA-256 of body in lower-case hex. The key is the
// secret as it stands; an empty one is a valid key.
func HexSHA256(key string, body []byte) string {
	return hexMAC(sha256.New, key, body)
}

// HexSHA3 returns the HMAC-SHA3-256 of body in lower-case hex: SHA-3 as FIPS 202
// published it, not the Keccak submitted to it. The key is the secret as it
// stands; an empty one is a valid key.
func HexSHA3(key string, body []byte) string {
	return hexMAC(sha3.New256, key, body)
}

func hexMAC(newHash func() hash.Hash, key string, body []byte) string {
	mac := hmac.New(newHash, []byte(key))
	mac.Write(body) // a hash never returns an error
	var sum [sha256.Size]byte
	return hex.EncodeToString(mac.Sum(sum[:0]))
}
