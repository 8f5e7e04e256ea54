// Package diagnose finds out why a receiver could not verify the signature of a request (A5): it compares what the
// receiver got with what was sent and with the secrets that could have signed it. It is pure. Secrets are compared in
// constant time, and no report contains one.
//
// It works with as much as is known. With the delivery's log, its event and its webhook, every difference is found.
// With nothing but the request and a secret, as on a receiver's machine, the sent body is inferred: a body is the sent
// one if a signature of the request covers it.
package diagnose

import (
	"cmp"
	"crypto/ed25519"
	"net/http"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// Cause is a reason why a signature does not verify. The set is closed.
type Cause string

// The causes.
const (
	AnotherRequest   Cause = "another_request"        // the request is that of another event
	AnotherWebhook   Cause = "another_webhook_secret" // another webhook's secret
	Rotated          Cause = "rotated_secret"         // a secret that was rotated out
	UnknownSecret    Cause = "unknown_secret"         // none of the tenant's secrets
	SecretSpace      Cause = "secret_white_space"     // white space around the secret
	PrefixStripped   Cause = "key_prefix_stripped"    // without whsec_ as the key of a header that wants the whole secret
	KeyDecoded       Cause = "key_base64_decoded"     // decoded as the key of a header that wants the text
	KeyNotDecoded    Cause = "key_not_decoded"        // the text as the key of Standard Webhooks' v1
	BodyReserialized Cause = "body_reserialized"      // the same JSON in other bytes
	BodyTruncated    Cause = "body_truncated"         // the beginning only
	BodyAltered      Cause = "body_altered"           // any other body
	HeaderMissing    Cause = "header_missing"
	HeaderAltered    Cause = "header_altered"
	TimestampOff     Cause = "timestamp_off" // another timestamp, or a clock that differs
	Unexplained      Cause = "unexplained"   // the signature does not fit, and too little is known to say why
)

// Causes lists every cause, the most telling first.
func Causes() []Cause {
	return []Cause{
		AnotherRequest, AnotherWebhook, Rotated, UnknownSecret, SecretSpace, PrefixStripped, KeyDecoded, KeyNotDecoded,
		BodyReserialized, BodyTruncated, BodyAltered, HeaderMissing, HeaderAltered, TimestampOff, Unexplained,
	}
}

// DefaultTolerance is how much the clocks of sender and receiver may differ, as Standard Webhooks' libraries have it.
const DefaultTolerance = 5 * time.Minute

// Request is a request as it arrived. The case of the names in Header does not matter.
type Request struct {
	Header http.Header
	Body   []byte
}

// Sent is an attempt as the log has it.
type Sent struct {
	Number int
	Header http.Header
	// Body is the body that was sent; nil if it can't be rebuilt.
	Body []byte
}

// Kind says how a secret belongs to the webhook of the delivery.
type Kind int

// The kinds of secrets.
const (
	Current  Kind = iota // signs now
	Previous             // was rotated out
	Other                // is another webhook's
)

// Secret is a secret that may have signed the request.
type Secret struct {
	Value hook.Secret
	Kind  Kind
	// Until is when a previous secret expires or has expired.
	Until time.Time
	// Webhook is whose secret it is, of kind Other.
	Webhook hook.WebhookID
}

// Public is a key that verifies v1a.
type Public struct {
	Key ed25519.PublicKey
	// Until is when a key that was rotated out stops signing; nil for the current one.
	Until *time.Time
}

// Case is what is known.
type Case struct {
	Profile  hook.Profile
	Received Request
	// Attempts are the delivery's, oldest first; none on a receiver's machine.
	Attempts []Sent
	// Secrets and Public are the known keys; empty if the webhook was deleted, or on a receiver's machine.
	Secrets []Secret
	Public  []Public
	// Given is the secret that the receiver verifies with: a secret, or a public key with whpk_. It is empty if the
	// receiver did not say. Without Attempts it is required.
	Given hook.Secret
	// Computed is the signature that the receiver's own code computed; empty if it did not say.
	Computed string
	// ReceivedAt is the receiver's clock when the request arrived; zero if it did not say.
	ReceivedAt time.Time
	// Now is the time of the diagnosis, by which previous secrets are valid.
	Now time.Time
	// Tolerance bounds the difference of the clocks; default DefaultTolerance.
	Tolerance time.Duration
}

// Report is a diagnosis.
type Report struct {
	// Findings are the causes, the most telling first; none if the request verifies.
	Findings []Finding
	// Signatures are those of the request as it arrived, verified with Given, or with the known keys.
	Signatures []Signature
	// Attempt is the number of the attempt that the request is of; 0 if it is not in the log.
	Attempt int
	// BodyKnown says that the sent body was rebuilt or inferred, so the bodies could be compared.
	BodyKnown bool
	// Undecided says that more secrets, those of other webhooks, could explain more.
	Undecided bool
}

// Signature is a signature of the request as it arrived.
type Signature struct {
	// Header is the name of the header, as it is sent.
	Header string
	// Scheme is v1 or v1a in webhook-signature; empty for the headers with one value.
	Scheme string
	// Fits says that it verifies.
	Fits bool
}

// Finding is one cause, with its details.
type Finding struct {
	Cause Cause
	// Summary says what is wrong, NextStep what to do about it.
	Summary, NextStep string
	// Header is the header concerned; empty if none is.
	Header string
	// Webhook is the webhook whose secret was used; zero if that is not the cause.
	Webhook hook.WebhookID
	// Until is when a rotated secret expires or has expired; zero if that is not known.
	Until time.Time
	// Offset is how much a timestamp differs.
	Offset time.Duration
	// Difference is where the bodies differ; nil if they don't.
	Difference *Difference
}

// Difference is where two bodies differ first.
type Difference struct {
	// At is the index of the first byte that differs.
	At int
	// Sent and Received are a few bytes of both around it.
	Sent, Received []byte
	// SentLength and ReceivedLength are the lengths of the bodies.
	SentLength, ReceivedLength int
}

// Verified reports whether the request verifies.
func (r *Report) Verified() bool { return len(r.Findings) == 0 }

// Diagnose compares what arrived with what is known.
func Diagnose(c Case) Report {
	if c.Tolerance == 0 {
		c.Tolerance = DefaultTolerance
	}
	c.Received.Header = canonical(c.Received.Header)
	for i := range c.Attempts {
		c.Attempts[i].Header = canonical(c.Attempts[i].Header)
	}
	d := &diagnosis{Case: c}
	d.report.Signatures = d.verified()
	if len(c.Attempts) == 0 {
		d.alone()
	} else {
		d.compare()
	}
	d.clock()
	if len(d.report.Findings) == 0 && !d.anyFits() {
		d.unexplained()
	}
	order := Causes()
	slices.SortStableFunc(d.report.Findings, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Cause), slices.Index(order, b.Cause))
	})
	return d.report
}

// diagnosis is a case that is being diagnosed.
type diagnosis struct {
	Case
	report Report
}

// add adds a finding, unless the same is there already.
func (d *diagnosis) add(f Finding) {
	for _, known := range d.report.Findings {
		if known.Cause == f.Cause && known.Header == f.Header && known.Webhook == f.Webhook {
			return
		}
	}
	d.report.Findings = append(d.report.Findings, f)
}

// found reports whether one of the causes has been found.
func (d *diagnosis) found(causes ...Cause) bool {
	for _, f := range d.report.Findings {
		if slices.Contains(causes, f.Cause) {
			return true
		}
	}
	return false
}

// canonical returns headers with names in canonical form.
func canonical(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		out[name] = append(out[name], values...)
	}
	return out
}
