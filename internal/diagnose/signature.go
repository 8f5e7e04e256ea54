package diagnose

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// The headers of signatures, in canonical form.
const (
	standardHeader   = "X-Webhook-Signature"
	signaturesHeader = "Webhook-Signature"
	webhookID        = "Webhook-Id"
	webhookTimestamp = "Webhook-Timestamp"
)

// Forms of keys.
const (
	secretPrefix = "whsec_"
	publicPrefix = "whpk_"
)

// shownName returns a header's name as it is sent.
func shownName(header string) string {
	switch header {
	case signaturesHeader, webhookID, webhookTimestamp, http.CanonicalHeaderKey(signing.MomentoHeader):
		return strings.ToLower(header)
	case http.CanonicalHeaderKey(signing.CommendaHeader):
		return signing.CommendaHeader
	}
	return header
}

// headersOf returns the headers of a profile that a signature depends on, in canonical form.
func headersOf(p hook.Profile) []string {
	switch p {
	case hook.ProfileMomento:
		return []string{http.CanonicalHeaderKey(signing.MomentoHeader)}
	case hook.ProfileCommenda:
		return []string{http.CanonicalHeaderKey(signing.CommendaHeader)}
	case hook.ProfileStandard:
	}
	return []string{standardHeader, webhookID, webhookTimestamp, signaturesHeader}
}

// signature is one signature of a request.
type signature struct {
	header string
	scheme string // v1, v1a or other text before a comma in webhook-signature; empty for the headers with one value
	value  string
}

// signatures returns the signatures in headers of the profile.
func signatures(p hook.Profile, h http.Header) (list []signature) {
	for _, header := range headersOf(p) {
		value := h.Get(header)
		switch {
		case value == "", header == webhookID, header == webhookTimestamp:
		case header == signaturesHeader:
			for _, item := range strings.Fields(value) {
				scheme, _, _ := strings.Cut(item, ",")
				list = append(list, signature{header, scheme, item})
			}
		default:
			list = append(list, signature{header, "", value})
		}
	}
	return list
}

// signed is what a signature covers.
type signed struct {
	id        string
	timestamp string
	body      []byte
}

func signedBy(h http.Header, body []byte) signed {
	return signed{h.Get(webhookID), h.Get(webhookTimestamp), body}
}

// key is a secret as the key of an HMAC.
type key struct {
	bytes []byte
	// wrong is the mistake that leads to this form; empty for the right one.
	wrong Cause
}

// keys returns the right key of a secret for a scheme first, if it has one, and then what mistakes make of it.
func keys(secret, scheme string) (list []key) {
	text, prefixed := strings.CutPrefix(secret, secretPrefix)
	if scheme == string(hook.SchemeV1) {
		if decoded, ok := signing.StandardWebhooksKey(secret); ok {
			list = append(list, key{decoded, ""}, key{[]byte(secret), KeyNotDecoded}, key{[]byte(text), KeyNotDecoded})
		}
		return list
	}
	list = append(list, key{[]byte(secret), ""})
	if prefixed {
		list = append(list, key{[]byte(text), PrefixStripped})
	}
	if decoded := decode(text); len(decoded) > 0 {
		list = append(list, key{decoded, KeyDecoded})
	}
	return list
}

func decode(text string) []byte {
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(text); err == nil {
			return decoded
		}
	}
	return nil
}

// sign makes the signature of a scheme with a key. ok is false if the timestamp is no number.
func sign(p hook.Profile, scheme string, key []byte, s signed) (value string, ok bool) {
	switch {
	case scheme == string(hook.SchemeV1):
		timestamp, err := strconv.ParseInt(s.timestamp, 10, 64)
		if err != nil {
			return "", false
		}
		return signing.StandardWebhooksV1(key, s.id, timestamp, s.body), true
	case scheme != "":
		return "", false
	case p == hook.ProfileMomento:
		return signing.HexSHA3(string(key), s.body), true
	default:
		return signing.HexSHA256(string(key), s.body), true
	}
}

// maker is what a signature was made with.
type maker struct {
	secret Secret
	wrong  Cause
}

// makerOf finds the secret, and its form, that a signature was made with. Wrong forms are tried for the webhook's own
// secrets only: there may be many others.
func makerOf(p hook.Profile, sig signature, s signed, secrets []Secret) (maker, bool) {
	for _, secret := range secrets {
		for _, k := range keys(secret.Value.Reveal(), sig.scheme) {
			if secret.Kind == Other && k.wrong != "" {
				continue
			}
			if value, ok := sign(p, sig.scheme, k.bytes, s); ok && same(value, sig.value) {
				return maker{secret, k.wrong}, true
			}
		}
	}
	return maker{}, false
}

// fits reports whether a signature was made with one of the secrets, in its right form.
func fits(p hook.Profile, sig signature, s signed, secrets []Secret) bool {
	for _, secret := range secrets {
		list := keys(secret.Value.Reveal(), sig.scheme)
		if len(list) == 0 || list[0].wrong != "" {
			continue
		}
		if value, ok := sign(p, sig.scheme, list[0].bytes, s); ok && same(value, sig.value) {
			return true
		}
	}
	return false
}

// fitsPublic reports whether one of the keys verifies a v1a signature.
func fitsPublic(sig signature, s signed, keys []Public) bool {
	value, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sig.value, "v1a,"))
	if err != nil || sig.scheme != string(hook.SchemeV1a) {
		return false
	}
	content := append([]byte(s.id+"."+s.timestamp+"."), s.body...)
	for _, k := range keys {
		if len(k.Key) == ed25519.PublicKeySize && ed25519.Verify(k.Key, content, value) {
			return true
		}
	}
	return false
}

// same compares two texts in a time that does not depend on where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// publicKey returns the public key in a text with whpk_.
func publicKey(text string) (ed25519.PublicKey, bool) {
	encoded, ok := strings.CutPrefix(text, publicPrefix)
	if !ok {
		return nil, false
	}
	k, err := base64.StdEncoding.DecodeString(encoded)
	return k, err == nil && len(k) == ed25519.PublicKeySize
}

// own returns the secrets of the delivery's webhook.
func (d *diagnosis) own() (list []Secret) {
	for _, s := range d.Secrets {
		if s.Kind != Other {
			list = append(list, s)
		}
	}
	return list
}

// trusted returns what the receiver verifies with: what it has given, or else the webhook's own keys.
func (d *diagnosis) trusted() (secrets []Secret, public []Public) {
	given := d.Given.Reveal()
	if given == "" {
		return d.own(), d.Public
	}
	if k, ok := publicKey(given); ok {
		return nil, []Public{{Key: k}}
	}
	return []Secret{{Value: d.Given}}, d.Public
}

// verified verifies the signatures of the request as it arrived. Of several signatures in one scheme, one has to fit.
func (d *diagnosis) verified() (list []Signature) {
	secrets, public := d.trusted()
	content := signedBy(d.Received.Header, d.Received.Body)
	for _, sig := range signatures(d.Profile, d.Received.Header) {
		if sig.scheme == string(hook.SchemeV1a) && len(public) == 0 || sig.scheme != string(hook.SchemeV1a) && len(secrets) == 0 {
			continue // nothing to verify it with
		}
		ok := fits(d.Profile, sig, content, secrets) || fitsPublic(sig, content, public)
		if n := len(list); n > 0 && sig.scheme != "" && list[n-1].Scheme == sig.scheme {
			list[n-1].Fits = list[n-1].Fits || ok
			continue
		}
		list = append(list, Signature{shownName(sig.header), sig.scheme, ok})
	}
	return list
}

func (d *diagnosis) anyFits() bool {
	for _, s := range d.report.Signatures {
		if s.Fits {
			return true
		}
	}
	return len(d.report.Signatures) == 0 && len(d.Attempts) > 0
}
