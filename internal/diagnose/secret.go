package diagnose

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// compareSecret finds out whether the receiver has the secret that the request was signed with. If it did not say,
// the webhook's current secret is the one that it should have.
func (d *diagnosis) compareSecret(sent http.Header, body []byte) {
	given := d.Given.Reveal()
	if given == "" {
		if !d.found(Rotated, AnotherWebhook, PrefixStripped, KeyDecoded, KeyNotDecoded) {
			d.signer(sent, body)
		}
		return
	}
	if k, ok := publicKey(given); ok {
		d.comparePublic(k, sent, body)
		return
	}
	all := []Secret{{Value: d.Given}}
	s := signedBy(sent, body)
	good := true
	for _, header := range d.symmetric(sent) {
		good = good && d.headerFits(header, s, all)
	}
	if good {
		return
	}
	for _, known := range d.Secrets {
		if d.recognized(known, given) {
			return
		}
	}
	if d.bodyOpen(sent, body) {
		return
	}
	d.report.Undecided = true
	d.add(Finding{Cause: UnknownSecret, Summary: "The secret is none of this account's: not this webhook's, no earlier one that is still kept, and no other webhook's.", NextStep: nextSecret})
}

// bodyOpen reports whether a signature may not fit because the sent body is not known.
func (d *diagnosis) bodyOpen(sent http.Header, body []byte) bool {
	return !d.report.BodyKnown && !d.ownFits(sent, body)
}

func (d *diagnosis) ownFits(sent http.Header, body []byte) bool {
	s := signedBy(sent, body)
	for _, sig := range signatures(d.Profile, sent) {
		if fits(d.Profile, sig, s, d.own()) {
			return true
		}
	}
	return false
}

// symmetric returns the signatures that a secret can verify, one list for each header.
func (d *diagnosis) symmetric(h http.Header) (headers [][]signature) {
	for _, name := range headersOf(d.Profile) {
		var list []signature
		for _, sig := range signaturesIn(d.Profile, h, name) {
			if sig.scheme == "" || sig.scheme == string(hook.SchemeV1) {
				list = append(list, sig)
			}
		}
		if len(list) > 0 {
			headers = append(headers, list)
		}
	}
	return headers
}

// headerFits reports whether one of a header's signatures was made with one of the secrets.
func (d *diagnosis) headerFits(list []signature, s signed, secrets []Secret) bool {
	for _, sig := range list {
		if fits(d.Profile, sig, s, secrets) {
			return true
		}
	}
	return false
}

// signer adds a finding if the request was signed with a secret that is not valid any more.
func (d *diagnosis) signer(sent http.Header, body []byte) {
	var current []Secret
	for _, s := range d.Secrets {
		if s.Kind == Current || s.Kind == Previous && s.Until.After(d.Now) {
			current = append(current, s)
		}
	}
	if len(current) == 0 || d.bodyOpen(sent, body) {
		return // the webhook was deleted, or nothing can be verified
	}
	s := signedBy(sent, body)
	for _, list := range d.symmetric(sent) {
		if d.headerFits(list, s, current) {
			continue
		}
		var until time.Time
		if m, ok := makerOf(d.Profile, list[0], s, d.own()); ok {
			until = m.secret.Until
		}
		d.rotated(until, shownName(list[0].header))
	}
}

// recognized reports whether the given secret is a known one, perhaps in another form, and adds the finding.
func (d *diagnosis) recognized(known Secret, given string) bool {
	value := known.Value.Reveal()
	switch {
	case same(value, given):
		d.isKnown(known)
	case same(value, strings.TrimSpace(given)):
		d.add(Finding{Cause: SecretSpace, Summary: "There is white space before or after the secret.", NextStep: nextSpace})
	default:
		wrong := formOf(value, given)
		if wrong == "" {
			return false
		}
		if known.Kind != Current {
			d.isKnown(known)
		}
		d.wrongKey(wrong)
	}
	return true
}

// isKnown adds the finding for a known secret with which the request was not signed.
func (d *diagnosis) isKnown(s Secret) {
	switch s.Kind {
	case Other:
		d.otherWebhook(s)
	case Previous:
		d.rotated(s.Until, "")
	case Current:
		// The receiver has the current secret, so the request was signed with one before it.
		var until time.Time
		for _, p := range d.Secrets {
			if p.Kind == Previous && p.Until.After(until) {
				until = p.Until
			}
		}
		d.rotated(until, "")
	}
}

// formOf returns the mistake that makes the given text of a secret; empty if none does.
func formOf(secret, given string) Cause {
	text, prefixed := strings.CutPrefix(secret, secretPrefix)
	if prefixed && same(text, given) {
		return PrefixStripped
	}
	if decoded := decode(text); len(decoded) > 0 && (same(string(decoded), given) || same(hex.EncodeToString(decoded), strings.ToLower(given))) {
		return KeyDecoded
	}
	return ""
}

func (d *diagnosis) comparePublic(k []byte, sent http.Header, body []byte) {
	s := signedBy(sent, body)
	signed := false
	for _, sig := range signatures(d.Profile, sent) {
		signed = signed || sig.scheme == string(hook.SchemeV1a)
		if fitsPublic(sig, s, []Public{{Key: k}}) {
			return
		}
	}
	if !signed {
		d.missing(signaturesHeader)
		return
	}
	for _, known := range d.Public {
		if same(string(known.Key), string(k)) {
			if !d.report.BodyKnown {
				return
			}
			var until time.Time
			if known.Until != nil {
				until = *known.Until
			}
			d.rotated(until, shownName(signaturesHeader))
			return
		}
	}
	d.add(Finding{Cause: UnknownSecret, Summary: "The public key is none of this account's.", NextStep: nextPublic})
}

// compareComputed finds out how the receiver's code came to its signature.
func (d *diagnosis) compareComputed(sent http.Header, body []byte) {
	if d.Computed == "" {
		return
	}
	secrets := append([]Secret{}, d.Secrets...)
	if given := d.Given.Reveal(); given != "" {
		secrets = append(secrets, Secret{Value: d.Given, Kind: Current})
	}
	for _, s := range []signed{signedBy(sent, body), signedBy(d.Received.Header, d.Received.Body)} {
		for _, sig := range computed(d.Computed) {
			for _, made := range signatures(d.Profile, sent) {
				if same(made.value, sig.value) {
					return // it is the right one
				}
			}
			if m, ok := makerOf(d.Profile, sig, s, secrets); ok {
				d.madeBy(m, "")
				return
			}
		}
	}
	d.report.Undecided = true
	if len(d.report.Findings) == 0 {
		d.add(Finding{Cause: UnknownSecret, Summary: "The signature that the receiver computed was made with a secret that is none of this account's, or over other bytes than the body that arrived.", NextStep: nextSecret})
	}
}

// computed returns the forms in which a computed signature may be meant.
func computed(text string) []signature {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "v1,") {
		return []signature{{signaturesHeader, string(hook.SchemeV1), text}}
	}
	return []signature{
		{"", "", strings.ToLower(strings.TrimPrefix(text, "sha256="))},
		{signaturesHeader, string(hook.SchemeV1), "v1," + text},
	}
}
