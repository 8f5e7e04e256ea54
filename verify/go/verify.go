// Package verify checks the signatures of webhooks that Grapnel sends, on the
// receiver's side: one function for each profile, and one for Standard Webhooks. Hand it
// the headers and the raw body as they came, before any JSON parser has touched it. It
// uses the standard library only and keeps no state. Its invariant: nil means that the
// body is what a holder of the key sent, and comparisons take the same time whatever they
// find.
package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
)

// What can be wrong with a request; errors.Is tells which. Answer all of them with 401 or
// 400, but ErrKey, which is the receiver's own mistake.
var (
	// ErrMissingHeader says that a header that the profile always has is not there: the
	// request is not Grapnel's, or a proxy has dropped it.
	ErrMissingHeader = errors.New("webhook: a header is missing")
	// ErrMalformedHeader says that a header is not in a form that Grapnel sends.
	ErrMalformedHeader = errors.New("webhook: a header is malformed")
	// ErrTooOld says that the request was signed longer ago than the tolerance: it may be
	// a replay.
	ErrTooOld = errors.New("webhook: the timestamp is too old")
	// ErrTooNew says that the request was signed later than now and the tolerance: one of
	// the clocks is wrong.
	ErrTooNew = errors.New("webhook: the timestamp is too new")
	// ErrNoMatch says that no signature was made with any of the keys over this body: the
	// key is another, or the body was changed, perhaps by a parser.
	ErrNoMatch = errors.New("webhook: no signature matches")
	// ErrKey says that a key given to verify with is not in a known form.
	ErrKey = errors.New("webhook: a verification key is not usable")
)

// Standard verifies the X-Webhook-Signature of the profile standard: the HMAC-SHA-256 of
// the body with the whole secret, its prefix included. There is no timestamp in it: where
// the secret is whsec_ and base64, StandardWebhooks also tells replays.
func Standard(secret string, h http.Header, body []byte) error {
	return verifyHex(sha256.New, secret, h, "X-Webhook-Signature", body)
}

// Momento verifies the momento-signature of the profile momento: the HMAC-SHA3-256 of the
// body. The body has publish_timestamp, in milliseconds, for who wants to tell replays.
func Momento(secret string, h http.Header, body []byte) error {
	return verifyHex(func() hash.Hash { return sha3.New256() }, secret, h, "momento-signature", body)
}

// Commenda verifies the Commenda-X-Secret of the profile commenda: the HMAC-SHA-256 of the
// body with the webhook's key.
func Commenda(secret string, h http.Header, body []byte) error {
	return verifyHex(sha256.New, secret, h, "Commenda-X-Secret", body)
}

func verifyHex(newHash func() hash.Hash, secret string, h http.Header, name string, body []byte) error {
	if secret == "" {
		return fmt.Errorf("%w: it is empty", ErrKey) // anybody could sign with it
	}
	text, err := header(h, name)
	if err != nil {
		return err
	}
	given, err := hex.DecodeString(text)
	if err != nil || len(given) != sha256.Size || strings.ToLower(text) != text {
		return fmt.Errorf("%w: %s is not 64 hexadecimal digits in lower case", ErrMalformedHeader, name)
	}
	mac := hmac.New(newHash, []byte(secret))
	mac.Write(body) // a hash never returns an error
	if !hmac.Equal(given, mac.Sum(nil)) {
		return ErrNoMatch
	}
	return nil
}

// header is the one value of a header. Names have no case, and a map that did not come
// from net/http may have any.
func header(h http.Header, name string) (string, error) {
	var found []string
	for key, values := range h {
		if strings.EqualFold(key, name) {
			found = append(found, values...)
		}
	}
	switch {
	case len(found) == 0 || len(found) == 1 && found[0] == "":
		return "", fmt.Errorf("%w: %s", ErrMissingHeader, name)
	case len(found) > 1:
		return "", fmt.Errorf("%w: %s is there %d times", ErrMalformedHeader, name, len(found))
	default:
		return found[0], nil
	}
}
