package signing

import (
	"crypto/ed25519"
	"net/http"
	"strconv"
	"strings"
)

// The signature headers of Momento's and Commenda's requests (spec 1).
const (
	MomentoHeader  = "momento-signature"
	CommendaHeader = "Commenda-X-Secret"
)

// StandardKeys are the keys that sign a request of the standard profile.
type StandardKeys struct {
	// Secret signs X-Webhook-Signature.
	Secret string
	// V1 are the secrets of Standard Webhooks' v1: the current one first, then those still valid in the overlap after a
	// rotation. A secret without a Standard Webhooks key (see [StandardWebhooksKey]) makes no signature.
	V1 []string
	// V1a are the keys of v1a, the current one first.
	V1a []ed25519.PrivateKey
}

// StandardHeaders sets the signature headers of the standard profile.
//
// X-Webhook-Signature is [HexSHA256] with Secret. It has one value, because the profile's receivers compare the whole
// header. webhook-id and webhook-timestamp (timestamp, in Unix seconds) are always set, so that receivers can recognize
// repetitions. If any of the other keys can sign, webhook-signature has one signature for each, v1 before v1a and in
// the given order, separated by spaces. The map keys are spelt as Standard Webhooks spells the names, not in canonical
// form, because net/http writes them literally on HTTP/1.1; h.Get does not find them.
func StandardHeaders(h http.Header, keys StandardKeys, msgID string, timestamp int64, body []byte) {
	h["X-Webhook-Signature"] = []string{HexSHA256(keys.Secret, body)}

	var signatures []string
	for _, secret := range keys.V1 {
		if key, ok := StandardWebhooksKey(secret); ok {
			signatures = append(signatures, StandardWebhooksV1(key, msgID, timestamp, body))
		}
	}
	for _, key := range keys.V1a {
		signatures = append(signatures, StandardWebhooksV1a(key, msgID, timestamp, body))
	}
	h["webhook-id"] = []string{msgID}
	h["webhook-timestamp"] = []string{strconv.FormatInt(timestamp, 10)}
	if len(signatures) > 0 {
		h["webhook-signature"] = []string{strings.Join(signatures, " ")}
	}
}

// MomentoHeaders sets the signature header of the momento profile, momento-signature: [HexSHA3] with the secret. The
// map key is in lower case, not in canonical form, because Momento sends it so and net/http writes it literally on
// HTTP/1.1; h.Get does not find it.
func MomentoHeaders(h http.Header, secret string, body []byte) {
	h[MomentoHeader] = []string{HexSHA3(secret, body)}
}

// CommendaHeaders sets the signature header of the commenda profile,
// Commenda-X-Secret: [HexSHA256] with the secret. In spite of its name it never
// carries the secret itself.
func CommendaHeaders(h http.Header, secret string, body []byte) {
	h[CommendaHeader] = []string{HexSHA256(secret, body)}
}
