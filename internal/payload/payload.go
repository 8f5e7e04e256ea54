// Package payload builds the HTTP request of an attempt: the body and the headers that the webhook's profile prescribes
// (spec 1). A body depends only on the event, which never changes, so every attempt sends the same bytes. The one
// exception is the momento profile, whose body contains the time of sending. Package signing makes the signatures. This
// package does no I/O and reads no clock.
package payload

import (
	"net/http"
	"strconv"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// Request builds the request of the job's next attempt. at is the time of sending, which the timestamp of Standard
// Webhooks shows. The names in Header are spelt as they are sent, which need not be Go's canonical form: see [addOwn].
func Request(job *hook.Job, at time.Time) hook.Request {
	w := job.Webhook
	r := hook.Request{URL: w.URL, Header: make(http.Header, 10), Timeout: w.Timeout}
	r.Header["Content-Type"] = []string{"application/json"}
	if w.Profile == hook.ProfileStandard || len(job.Event.Hops) > 0 {
		r.Header[hook.HopsHeader] = []string{job.Event.Chain()}
	}
	if job.Delivery.Test && w.Profile != hook.ProfileMomento {
		r.Header[testHeader] = []string{"true"}
	}
	switch w.Profile {
	case hook.ProfileCommenda:
		r.Body = CommendaBody(&job.Event, w.ID)
		signing.CommendaHeaders(r.Header, w.SingleValue(at).Reveal(), r.Body)
	case hook.ProfileMomento:
		r.Header["User-Agent"] = []string{momentoUserAgent}
		r.Body = MomentoBody(&job.Event, at)
		signing.MomentoHeaders(r.Header, w.SingleValue(at).Reveal(), r.Body)
	case hook.ProfileStandard:
		r.Body = StandardBody(&job.Event)
		r.Header["X-Event-Type"] = []string{asciiType(job.Event.Type)}
		r.Header["X-Webhook-Attempt"] = []string{strconv.Itoa(job.Delivery.Attempts + 1)}
		if job.TraceParent != "" {
			r.Header["traceparent"] = []string{job.TraceParent}
		}
		signing.StandardHeaders(r.Header, standardKeys(job, at), job.Event.ID.String(), at.Unix(), r.Body)
	}
	addOwn(r.Header, w)
	return r
}

// testHeader marks the request of a test, whose event never happened. Momento's requests carry none of Grapnel's
// headers; there a message number of 0 marks a test.
const testHeader = "webhook-test"

// standardKeys returns the keys that sign a request of the standard profile at a time: the current secret and, during
// the overlap after a rotation, the previous ones (S6).
func standardKeys(job *hook.Job, at time.Time) signing.StandardKeys {
	w := job.Webhook
	keys := signing.StandardKeys{Secret: w.SingleValue(at).Reveal()}
	if w.Signs(hook.SchemeV1) {
		keys.V1 = []string{w.Secret.Reveal()}
		for _, previous := range w.Valid(at) {
			keys.V1 = append(keys.V1, previous.Secret.Reveal())
		}
	}
	if w.Signs(hook.SchemeV1a) {
		keys.V1a = job.SigningKeys
	}
	return keys
}
