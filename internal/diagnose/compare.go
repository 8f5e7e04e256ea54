package diagnose

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"grapnel/internal/hook"
)

// compare compares the request with the attempt that it is of.
func (d *diagnosis) compare() {
	sent := d.attempt()
	if d.another(&sent) || d.foreign() {
		return
	}
	if sent.Body == nil {
		sent.Body = d.inferred(sent.Header)
	}
	d.report.BodyKnown = sent.Body != nil
	body := sent.Body
	if body == nil {
		body = d.Received.Body // nothing better is known
	}
	d.compareHeaders(&sent, body)
	if sent.Body != nil {
		d.compareBodies(sent.Body)
	}
	d.compareSecret(sent.Header, body)
	d.compareComputed(sent.Header, body)
}

// attempt returns the attempt that the request is of: the one with which it has most in common, and of several the
// last one. A request that the webhook's keys verify, and that has the timestamp of no attempt, is of an attempt that
// the log does not have yet.
func (d *diagnosis) attempt() Sent {
	best, most := 0, -1
	for i := range d.Attempts {
		if n := d.common(&d.Attempts[i]); n >= most {
			best, most = i, n
		}
	}
	sent := d.Attempts[best]
	h := d.Received.Header
	if h.Get(webhookTimestamp) != "" && h.Get(webhookTimestamp) != sent.Header.Get(webhookTimestamp) && sent.Body != nil {
		for _, sig := range signatures(d.Profile, h) {
			s := signedBy(h, sent.Body)
			if sig.header == signaturesHeader && (fits(d.Profile, sig, s, d.own()) || fitsPublic(sig, s, d.Public)) {
				unlogged := Sent{Header: sent.Header.Clone(), Body: sent.Body}
				for _, name := range []string{webhookID, webhookTimestamp, signaturesHeader} {
					unlogged.Header[name] = h[name]
				}
				return unlogged
			}
		}
	}
	d.report.Attempt = sent.Number
	return sent
}

// common counts what the request has in common with an attempt.
func (d *diagnosis) common(s *Sent) (n int) {
	for _, name := range append(headersOf(d.Profile), "X-Webhook-Attempt") {
		if got := d.Received.Header.Get(name); got != "" && got == s.Header.Get(name) {
			n++
		}
	}
	if s.Body != nil && bytes.Equal(s.Body, d.Received.Body) {
		n++
	}
	return n
}

// another reports whether the request is that of another event: it has another event's id, or another message's
// number, and none of the attempt's signatures.
func (d *diagnosis) another(sent *Sent) bool {
	if sent.Body == nil {
		return false
	}
	for _, sig := range signatures(d.Profile, sent.Header) {
		if d.Received.Header.Get(sig.header) == sent.Header.Get(sig.header) {
			return false
		}
	}
	if len(signatures(d.Profile, d.Received.Header)) == 0 {
		return false
	}
	want, okWant := identity(d.Profile, sent.Body)
	got, okGot := identity(d.Profile, d.Received.Body)
	if !okWant || !okGot || want == got {
		return false
	}
	d.report.BodyKnown = true
	d.add(Finding{Cause: AnotherRequest, Summary: "The request is that of another event: this delivery's is " + want + ", the body's is " + got + ".", NextStep: nextAnother})
	return true
}

// identity returns what says which event a body is of.
func identity(p hook.Profile, body []byte) (string, bool) {
	v, _ := parse(body)
	object, _ := v.(map[string]any)
	if p == hook.ProfileMomento {
		number, ok := object["topic_sequence_number"].(float64)
		return "message " + strconv.FormatFloat(number, 'f', -1, 64), ok
	}
	id, ok := object["id"].(string)
	return id, ok
}

// compareHeaders finds headers that are missing or differ, and signatures that were made with another key.
func (d *diagnosis) compareHeaders(sent *Sent, body []byte) {
	for _, name := range headersOf(d.Profile) {
		want, got := sent.Header.Get(name), d.Received.Header.Get(name)
		switch {
		case want == "" || got == want:
		case got == "":
			d.missing(name)
		case name == webhookTimestamp:
			d.timestamp(want, got)
		case name == webhookID:
			d.altered(name)
		default:
			d.differs(name, sent.Header, body)
		}
	}
}

func (d *diagnosis) missing(name string) {
	name = shownName(name)
	d.add(Finding{Cause: HeaderMissing, Header: name, Summary: "The header " + name + " was sent and did not arrive.", NextStep: nextMissing})
}

func (d *diagnosis) altered(name string) {
	name = shownName(name)
	d.add(Finding{Cause: HeaderAltered, Header: name, Summary: "The header " + name + " is not the one that was sent.", NextStep: nextHeader})
}

func (d *diagnosis) timestamp(want, got string) {
	sent, err := strconv.ParseInt(want, 10, 64)
	arrived, err2 := strconv.ParseInt(got, 10, 64)
	// A number with more digits is no time in seconds.
	const most = 1 << 32
	if err != nil || err2 != nil || arrived < 0 || arrived > most {
		d.altered(webhookTimestamp)
		return
	}
	offset := time.Duration(arrived-sent) * time.Second
	d.add(Finding{
		Cause: TimestampOff, Header: shownName(webhookTimestamp), Offset: offset,
		Summary: "The header webhook-timestamp that arrived is off by " + span(offset) + " from the one that was sent.", NextStep: nextHeader,
	})
}

// differs explains a header with signatures that is not the one that was sent. It may have signatures that were made
// with another key, or in another way, or no signature of ours at all.
func (d *diagnosis) differs(name string, sent http.Header, body []byte) {
	arrived := signaturesIn(d.Profile, d.Received.Header, name)
	made, good := 0, false
	var makers []maker
	for _, sig := range arrived {
		m, ok := d.maker(sig, sent, body)
		if !ok {
			continue
		}
		made++
		good = good || m.wrong == "" && m.secret.Kind == Current
		makers = append(makers, m)
	}
	switch {
	case made == 0:
		d.report.Undecided = true
		d.altered(name)
	case good && made < len(signaturesIn(d.Profile, sent, name)):
		d.altered(name) // one of several signatures is missing, and its receivers can't verify the request
	case !good:
		for _, m := range makers {
			d.madeBy(m, shownName(name))
		}
	}
}

// maker finds what a signature that arrived was made with, over what was sent or over what arrived.
func (d *diagnosis) maker(sig signature, sent http.Header, body []byte) (maker, bool) {
	for _, s := range []signed{signedBy(sent, body), signedBy(d.Received.Header, body), signedBy(d.Received.Header, d.Received.Body)} {
		if m, ok := makerOf(d.Profile, sig, s, d.Secrets); ok {
			return m, true
		}
		if fitsPublic(sig, s, d.Public) {
			return maker{}, true // of the kind Current
		}
	}
	return maker{}, false
}

// foreign reports whether the whole request is one that was sent to another webhook.
func (d *diagnosis) foreign() bool {
	s := signedBy(d.Received.Header, d.Received.Body)
	for _, sig := range signatures(d.Profile, d.Received.Header) {
		if m, ok := makerOf(d.Profile, sig, s, d.Secrets); ok && m.wrong == "" && m.secret.Kind == Other {
			d.otherWebhook(m.secret)
			return true
		}
	}
	return false
}

func signaturesIn(p hook.Profile, h http.Header, name string) (list []signature) {
	for _, sig := range signatures(p, h) {
		if sig.header == name {
			list = append(list, sig)
		}
	}
	return list
}

// madeBy adds the finding for a signature that was not made as it should be.
func (d *diagnosis) madeBy(m maker, header string) {
	switch {
	case m.secret.Kind == Other:
		d.otherWebhook(m.secret)
	case m.wrong != "":
		d.wrongKey(m.wrong)
	case m.secret.Kind == Previous:
		d.rotated(m.secret.Until, header)
	case m.secret.Kind == Current:
	}
}
