package hook

import "slices"

// Scheme is a signature scheme of Standard Webhooks, by its identifier there.
type Scheme string

// The schemes.
const (
	// SchemeV1 is HMAC-SHA-256 with the webhook's secret, if the secret is whsec_ followed by base64.
	SchemeV1 Scheme = "v1"
	// SchemeV1a is Ed25519 with the tenant's signing key.
	SchemeV1a Scheme = "v1a"
)

// Signs reports whether the webhook's requests carry signatures of the scheme.
func (w *Webhook) Signs(s Scheme) bool {
	return w.Profile == ProfileStandard && slices.Contains(w.Schemes, s)
}

func (w *Webhook) validateSchemes(v *violations) {
	const location = "body.signature_schemes"
	if w.Profile != ProfileStandard {
		if len(w.Schemes) > 0 && !slices.Equal(w.Schemes, []Scheme{SchemeV1}) {
			v.add(location, nil, "are of the standard profile only: %s has a signature of its own", w.Profile)
		}
		return
	}
	for i, s := range w.Schemes {
		switch {
		case s != SchemeV1 && s != SchemeV1a:
			v.add(indexed(location, i), string(s), "must be v1 or v1a")
		case slices.Index(w.Schemes, s) < i:
			v.add(indexed(location, i), string(s), "must not be given twice")
		}
	}
}
