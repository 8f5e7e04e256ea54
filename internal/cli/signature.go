package cli

import (
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// signed is one signature of a request: the header that has it, and whether it fits.
type signed struct {
	header string
	fits   bool
}

// profileOf tells a request's profile by the header that its signature is in; ""
// if there is none.
func profileOf(h http.Header) hook.Profile {
	switch {
	case h.Get("X-Webhook-Signature") != "", h.Get("Webhook-Signature") != "":
		return hook.ProfileStandard
	case h.Get("Momento-Signature") != "":
		return hook.ProfileMomento
	case h.Get("Commenda-X-Secret") != "":
		return hook.ProfileCommenda
	default:
		return ""
	}
}

// signatures holds every signature that a request of the profile has against the
// secret.
func signatures(p hook.Profile, secret string, h http.Header, body []byte) (list []signed) {
	header, want := "X-Webhook-Signature", ""
	switch p {
	case hook.ProfileStandard:
		want = signing.HexSHA256(secret, body)
	case hook.ProfileMomento:
		header, want = "Momento-Signature", signing.HexSHA3(secret, body)
	case hook.ProfileCommenda:
		header, want = "Commenda-X-Secret", signing.HexSHA256(secret, body)
	}
	if got := h.Get(header); got != "" {
		list = append(list, signed{header, same(got, want)})
	}
	if got := h.Get("Webhook-Signature"); got != "" && p == hook.ProfileStandard {
		list = append(list, signed{"Webhook-Signature", standardWebhooks(secret, h, body)})
	}
	return list
}

// standardWebhooks tells whether one of a request's v1 signatures fits.
func standardWebhooks(secret string, h http.Header, body []byte) bool {
	key, ok := signing.StandardWebhooksKey(secret)
	at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if !ok || err != nil {
		return false
	}
	want := signing.StandardWebhooksV1(key, h.Get("Webhook-Id"), at, body)
	fits := false
	for got := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		fits = same(got, want) || fits
	}
	return fits
}

// same takes the same time whatever is different.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
