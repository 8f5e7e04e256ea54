package signing

import (
	"net/http"
	"strconv"
	"strings"
)

// StandardHeaders sets the signature headers of the standard profile. The
// current secret comes first in secrets; others are those still valid in the
// overlap after a rotation. Without secrets nothing is set.
//
// X-Webhook-Signature is [HexSHA256] with the current secret: one value, as the
// profile's receivers compare the whole of it. If any secret has a Standard
// Webhooks key (see [StandardWebhooksKey]), the headers Webhook-Id,
// Webhook-Timestamp (timestamp, Unix seconds) and Webhook-Signature are set as
// well, the last with one v1 signature for each such secret, in the given order,
// separated by spaces. The map keys are canonical; names of headers have no case.
func StandardHeaders(h http.Header, secrets []string, msgID string, timestamp int64, body []byte) {
	if len(secrets) == 0 {
		return
	}
	h.Set("X-Webhook-Signature", HexSHA256(secrets[0], body))

	var signatures []string
	for _, secret := range secrets {
		if key, ok := StandardWebhooksKey(secret); ok {
			signatures = append(signatures, StandardWebhooksV1(key, msgID, timestamp, body))
		}
	}
	if len(signatures) == 0 {
		return
	}
	h.Set("Webhook-Id", msgID)
	h.Set("Webhook-Timestamp", strconv.FormatInt(timestamp, 10))
	h.Set("Webhook-Signature", strings.Join(signatures, " "))
}

// MomentoHeaders sets the signature header of the momento profile,
// momento-signature: [HexSHA3] with the secret. The map key is lower case, not
// canonical, because net/http writes it as it stands on HTTP/1.1 and that is
// how Momento sends it; h.Get does not find it.
func MomentoHeaders(h http.Header, secret string, body []byte) {
	h["momento-signature"] = []string{HexSHA3(secret, body)}
}

// CommendaHeaders sets the signature header of the commenda profile,
// Commenda-X-Secret: [HexSHA256] with the secret. In spite of its name it never
// carries the secret itself.
func CommendaHeaders(h http.Header, secret string, body []byte) {
	h.Set("Commenda-X-Secret", HexSHA256(secret, body))
}
