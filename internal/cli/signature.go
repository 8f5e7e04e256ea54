package cli

import (
	"net/http"
	"strings"

	"grapnel/internal/hook"
	verify "grapnel/verify/go"
)

// signed is one signature of a request: its header, and whether it is valid.
type signed struct {
	header string
	fits   bool
}

// profileOf returns a request's profile by the header of its signature; "" if there
// is none.
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

// signatures verifies every signature of a request of the profile with the secret. A public key, whpk_, verifies
// only Standard Webhooks' v1a.
func signatures(p hook.Profile, secret string, h http.Header, body []byte) (list []signed) {
	check := func(header string, err error) {
		if h.Get(header) != "" {
			list = append(list, signed{header, err == nil})
		}
	}
	switch p {
	case hook.ProfileStandard:
		if _, public := strings.CutPrefix(secret, "whpk_"); !public {
			check("X-Webhook-Signature", verify.Standard(secret, h, body))
		}
		// A saved request is old: accept any age.
		check("Webhook-Signature", verify.StandardWebhooks([]string{secret}, h, body, verify.WithTolerance(-1)))
	case hook.ProfileMomento:
		check("Momento-Signature", verify.Momento(secret, h, body))
	case hook.ProfileCommenda:
		check("Commenda-X-Secret", verify.Commenda(secret, h, body))
	}
	return list
}
