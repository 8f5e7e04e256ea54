package verify

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is how far the timestamp may be from now, in the past or the future.
const DefaultTolerance = 5 * time.Minute

// Option changes how StandardWebhooks verifies.
type Option func(*options)

type options struct {
	tolerance time.Duration
	now       func() time.Time
	shortKeys bool
}

// MinKeySize is the minimum size of a secret's key in bytes (Standard Webhooks, "Signature scheme"): a shorter key
// can be guessed, or was cut off.
const MinKeySize = 24

// WithShortKeys accepts keys of fewer than MinKeySize bytes, for secrets made by systems that allow them.
func WithShortKeys() Option { return func(o *options) { o.shortKeys = true } }

// WithTolerance sets how far the timestamp may be from now. A negative tolerance turns the check off, for saved
// requests.
func WithTolerance(d time.Duration) Option { return func(o *options) { o.tolerance = d } }

// WithClock sets the clock; the default is time.Now.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// StandardWebhooks verifies webhook-id, webhook-timestamp and webhook-signature. A key is a secret (whsec_ and
// base64) or a public key (whpk_ and base64) from /.well-known/webhook-keys. One signature by one of the keys is
// enough, so that the sender and the receiver can each have two keys during a change of keys. A retry has the same
// webhook-id: remember the ids of handled requests.
func StandardWebhooks(keys []string, h http.Header, body []byte, opts ...Option) error {
	o := options{tolerance: DefaultTolerance, now: time.Now}
	for _, set := range opts {
		set(&o)
	}
	parsed, err := parseKeys(keys, o.shortKeys)
	if err != nil {
		return err
	}
	id, err := header(h, "webhook-id")
	if err != nil {
		return err
	}
	timestamp, err := header(h, "webhook-timestamp")
	if err != nil {
		return err
	}
	list, err := header(h, "webhook-signature")
	if err != nil {
		return err
	}
	seconds, err := parseTimestamp(timestamp)
	if err != nil {
		return err
	}
	// The signature covers the timestamp header exactly as received.
	signed := append([]byte(id+"."+timestamp+"."), body...)
	if err := match(parsed, signed, list); err != nil {
		return err
	}
	// The timestamp is trusted only now that its signature is verified.
	return o.recent(seconds)
}

func (o *options) recent(seconds int64) error {
	if o.tolerance < 0 {
		return nil
	}
	now, at := o.now(), time.Unix(seconds, 0)
	switch {
	case at.Before(now.Add(-o.tolerance)):
		return fmt.Errorf("%w: it was signed %v ago", ErrTooOld, now.Sub(at).Truncate(time.Second))
	case at.After(now.Add(o.tolerance)):
		return fmt.Errorf("%w: it is %v ahead", ErrTooNew, at.Sub(now).Truncate(time.Second))
	default:
		return nil
	}
}

// lastSecond is the Unix time of the last second of the year 9999.
const lastSecond = 253402300799

func parseTimestamp(text string) (int64, error) {
	seconds, err := strconv.ParseUint(text, 10, 63)
	if err != nil || seconds > lastSecond {
		return 0, fmt.Errorf("%w: webhook-timestamp is not in Unix seconds", ErrMalformedHeader)
	}
	return int64(seconds), nil
}

// verificationKeys are the parsed keys.
type verificationKeys struct {
	secrets [][]byte
	public  []ed25519.PublicKey
}

func parseKeys(keys []string, short bool) (parsed verificationKeys, err error) {
	if len(keys) == 0 {
		return parsed, fmt.Errorf("%w: there is none", ErrKey)
	}
	for i, key := range keys {
		if secret, ok := decode(key, "whsec_"); ok {
			if len(secret) < MinKeySize && !short {
				return parsed, fmt.Errorf("%w: key %d has fewer than %d bytes", ErrKey, i+1, MinKeySize)
			}
			parsed.secrets = append(parsed.secrets, secret)
		} else if public, ok := decode(key, "whpk_"); ok && len(public) == ed25519.PublicKeySize {
			parsed.public = append(parsed.public, public)
		} else {
			// The error does not contain the key, which may be a secret.
			return parsed, fmt.Errorf("%w: key %d is neither whsec_ nor whpk_ and base64", ErrKey, i+1)
		}
	}
	return parsed, nil
}

func decode(text, prefix string) ([]byte, bool) {
	encoded, ok := strings.CutPrefix(text, prefix)
	// DecodeString skips line breaks, but other libraries do not, so refuse them.
	if !ok || encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return nil, false
	}
	value, err := base64.StdEncoding.DecodeString(encoded)
	return value, err == nil
}

// maxSignatures bounds the work that a request from a stranger can cause; Grapnel sends at most 10 signatures.
const maxSignatures = 32

// match returns nil if one of the signatures in the list was made with one of the keys. It skips unknown schemes,
// which a later version may add.
func match(keys verificationKeys, signed []byte, list string) error {
	known := false
	entries := strings.Split(list, " ")
	if len(entries) > maxSignatures {
		return fmt.Errorf("%w: webhook-signature has more than %d signatures", ErrMalformedHeader, maxSignatures)
	}
	for _, entry := range entries {
		scheme, encoded, ok := strings.Cut(entry, ",")
		if !ok {
			return fmt.Errorf("%w: webhook-signature has an entry without a scheme", ErrMalformedHeader)
		}
		if scheme != "v1" && scheme != "v1a" {
			continue
		}
		known = true
		given, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return fmt.Errorf("%w: webhook-signature has a signature that is not base64", ErrMalformedHeader)
		}
		if scheme == "v1" && keys.matchV1(signed, given) || scheme == "v1a" && keys.matchV1a(signed, given) {
			return nil
		}
	}
	if !known {
		return fmt.Errorf("%w: webhook-signature has neither v1 nor v1a", ErrMalformedHeader)
	}
	return ErrNoMatch
}

func (k *verificationKeys) matchV1(signed, given []byte) bool {
	for _, secret := range k.secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write(signed) // a hash never returns an error
		if hmac.Equal(given, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

func (k *verificationKeys) matchV1a(signed, given []byte) bool {
	for _, public := range k.public {
		if len(given) == ed25519.SignatureSize && ed25519.Verify(public, signed, given) {
			return true
		}
	}
	return false
}
