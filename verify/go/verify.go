// Package verify checks the signatures of webhooks from Grapnel on the receiver's side: it has one function for
// each profile, and one for Standard Webhooks. Pass it the headers and the raw body as received, before a JSON
// parser changes the body. It uses only the standard library and keeps no state. A nil result means that a holder
// of the key sent this body. Comparisons take constant time, whatever their result.
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

// The errors of the verifying functions, for errors.Is. Answer the request with 401 or 400, except for ErrKey,
// which is the receiver's own mistake.
var (
	// ErrMissingHeader means that a header that the profile always has is missing: the request is not from Grapnel,
	// or a proxy removed the header.
	ErrMissingHeader = errors.New("webhook: a header is missing")
	// ErrMalformedHeader means that a header has a form that Grapnel never sends.
	ErrMalformedHeader = errors.New("webhook: a header is malformed")
	// ErrTooOld means that the request's timestamp is older than the tolerance allows: the request may be a replay.
	ErrTooOld = errors.New("webhook: the timestamp is too old")
	// ErrTooNew means that the request's timestamp is further in the future than the tolerance allows: the sender's
	// or the receiver's clock is wrong.
	ErrTooNew = errors.New("webhook: the timestamp is too new")
	// ErrNoMatch means that no signature of this body was made with any of the keys: the keys are wrong, or the
	// body was changed, perhaps by a parser.
	ErrNoMatch = errors.New("webhook: no signature matches")
	// ErrKey means that a verification key does not have a known form.
	ErrKey = errors.New("webhook: a verification key is not usable")
)

// Standard verifies the X-Webhook-Signature header of the profile standard: the HMAC-SHA-256 of the body, keyed
// with the whole secret including its prefix. It covers no timestamp, so it cannot detect replays; if the secret is
// whsec_ and base64, StandardWebhooks can.
func Standard(secret string, h http.Header, body []byte) error {
	return verifyHex(sha256.New, secret, h, "X-Webhook-Signature", body)
}

// Momento verifies the momento-signature header of the profile momento: the HMAC-SHA3-256 of the body. To detect
// replays, check the body's publish_timestamp, in milliseconds.
func Momento(secret string, h http.Header, body []byte) error {
	return verifyHex(func() hash.Hash { return sha3.New256() }, secret, h, "momento-signature", body)
}

// Commenda verifies the Commenda-X-Secret header of the profile commenda: the HMAC-SHA-256 of the body, keyed with
// the webhook's key.
func Commenda(secret string, h http.Header, body []byte) error {
	return verifyHex(sha256.New, secret, h, "Commenda-X-Secret", body)
}

func verifyHex(newHash func() hash.Hash, secret string, h http.Header, name string, body []byte) error {
	if secret == "" {
		return fmt.Errorf("%w: it is empty", ErrKey) // an attacker can sign with an empty secret
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

// header returns the only value of a header. It ignores the case of names, since a map that is not from net/http
// may use any case.
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
