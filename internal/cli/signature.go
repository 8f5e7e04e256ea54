package cli

import (
	"net/http"
	"strings"

	"grapnel/internal/hook"
	verify "grapnel/verify/go"
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
// secret. A public key, whpk_, is for Standard Webhooks' v1a alone.
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
		// A saved request is old.
		check("Webhook-Signature", verify.StandardWebhooks([]string{secret}, h, body, verify.WithTolerance(-1)))
	case hook.ProfileMomento:
		check("Momento-Signature", verify.Momento(secret, h, body))
	case hook.ProfileCommenda:
		check("Commenda-X-Secret", verify.Commenda(secret, h, body))
	}
	return list
}
