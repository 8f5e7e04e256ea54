package diagnose

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"grapnel/internal/hook"
)

// alone diagnoses a request with nothing but the receiver's secret.
func (d *diagnosis) alone() {
	h := d.Received.Header
	list := signatures(d.Profile, h)
	if len(list) == 0 {
		d.missing(headersOf(d.Profile)[0])
		return
	}
	if h.Get(signaturesHeader) != "" {
		for _, name := range []string{webhookID, webhookTimestamp} {
			if h.Get(name) == "" {
				d.missing(name)
			}
		}
	}
	if k, ok := publicKey(d.Given.Reveal()); ok {
		d.Public = []Public{{Key: k}}
	} else {
		d.Secrets = guesses(d.Given.Reveal())
	}
	sent := d.inferred(h)
	d.report.BodyKnown = sent != nil
	if sent == nil {
		d.shorter()
		return
	}
	d.compareBodies(sent)
	d.aloneSecret(list, signedBy(h, sent))
}

// guesses returns the secrets that the given one may have come from: the first is the given one itself.
func guesses(given string) []Secret {
	list := []Secret{{Value: hook.Secret(given)}}
	if trimmed := strings.TrimSpace(given); trimmed != given {
		list = append(list, Secret{Value: hook.Secret(trimmed)})
	}
	if !strings.HasPrefix(given, secretPrefix) {
		list = append(list, Secret{Value: hook.Secret(secretPrefix + strings.TrimSpace(given))})
	}
	return list
}

// aloneSecret finds signatures that the given secret does not make as it is.
func (d *diagnosis) aloneSecret(list []signature, s signed) {
	given := d.Given.Reveal()
	unfit := map[string]bool{} // by header; of several signatures in one header, one has to fit
	for _, sig := range list {
		if sig.scheme == string(hook.SchemeV1a) {
			if len(d.Public) == 0 {
				continue
			}
		} else if len(d.Secrets) == 0 {
			continue
		}
		if fitsPublic(sig, s, d.Public) || fits(d.Profile, sig, s, []Secret{{Value: d.Given}}) {
			unfit[sig.header] = false
			continue
		}
		if _, seen := unfit[sig.header]; !seen {
			unfit[sig.header] = true
		}
		m, ok := makerOf(d.Profile, sig, s, d.Secrets)
		switch {
		case !ok:
		case m.wrong != "":
			d.wrongKey(m.wrong)
		case same(m.secret.Value.Reveal(), strings.TrimSpace(given)):
			d.add(Finding{Cause: SecretSpace, Summary: "There is white space before or after the secret.", NextStep: nextSpace})
		default:
			d.wrongKey(PrefixStripped)
		}
	}
	if d.found(PrefixStripped, SecretSpace, KeyDecoded, KeyNotDecoded) {
		return
	}
	for _, name := range headersOf(d.Profile) {
		if !unfit[name] || name == signaturesHeader && d.found(HeaderMissing) {
			continue
		}
		if name == standardHeader && len(d.symmetricIn(signaturesHeader)) > 1 {
			d.add(Finding{Cause: Rotated, Header: name, Summary: aloneRotated, NextStep: nextRotated})
			continue
		}
		d.add(Finding{Cause: HeaderAltered, Header: shownName(name), Summary: aloneAltered(name), NextStep: nextHeader})
	}
}

const aloneRotated = "The secret was rotated: webhook-signature has signatures with several secrets, and X-Webhook-Signature was made with another one than the given."

// symmetricIn returns the v1 signatures in a header of the request.
func (d *diagnosis) symmetricIn(name string) (list []signature) {
	for _, sig := range signaturesIn(d.Profile, d.Received.Header, name) {
		if sig.scheme == string(hook.SchemeV1) {
			list = append(list, sig)
		}
	}
	return list
}

func aloneAltered(name string) string {
	if name == signaturesHeader {
		return "The body and the secret are right, so one of webhook-id, webhook-timestamp and webhook-signature is not the one that was sent; or webhook-signature was made with another secret than the header with one value."
	}
	return "The header " + shownName(name) + " does not verify, although another signature of the request does: it is not the one that was sent, or was made with another secret, as during a rotation."
}

// inferred returns the body that a signature in the headers covers, restored from the received one; nil if none does.
func (d *diagnosis) inferred(h http.Header) []byte {
	for _, body := range restored(d.Profile, d.Received.Body) {
		if len(body) == 0 {
			continue
		}
		s := signedBy(h, body)
		for _, sig := range signatures(d.Profile, h) {
			if _, ok := makerOf(d.Profile, sig, s, d.Secrets); ok || fitsPublic(sig, s, d.Public) {
				return bytes.Clone(body)
			}
		}
	}
	return nil
}

// shorter recognizes a truncated body by the length that its sender has announced.
func (d *diagnosis) shorter() {
	announced, err := strconv.Atoi(d.Received.Header.Get("Content-Length"))
	if n := len(d.Received.Body); err == nil && n < announced {
		d.add(Finding{
			Cause: BodyTruncated, NextStep: nextTruncated,
			Summary: "Only " + count(n) + " bytes of the body are there; the header Content-Length announces " + count(announced) + ".",
		})
	} else if n == 0 {
		d.add(Finding{Cause: BodyTruncated, Summary: "The body that arrived is empty.", NextStep: nextEmpty})
	}
}
