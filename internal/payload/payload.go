// Package payload makes the request of an attempt: the body and the headers
// that a webhook's profile prescribes (spec 1). Bodies are built from the event's
// immutable parts, so that every attempt sends the same bytes (momento's alone
// carries the time of sending). Signing itself is internal/signing's. The package
// does no I/O and reads no clock.
package payload

import (
	"net/http"
	"strconv"
	"time"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// Request makes the request of the job's next attempt. at is the time of
// sending, which Standard Webhooks' timestamp shows. The header's keys are names as they
// are to be written, not canonical ones: see [addOwn].
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

// testHeader marks a test: nothing of it has happened. Momento's requests have no headers
// of ours, and mark a test by the message number 0.
const testHeader = "webhook-test"

// standardKeys are what signs a standard request at a time: the current secret and,
// within the overlap after a rotation, those before it (S6).
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

// The bodies are made in one piece of the right size, whose names may be twice as long
// when they are escaped: a body that had to grow would be copied, and be there twice.

// StandardBody is the standard profile's body: id, type, created_at, data.
func StandardBody(e *hook.Event) []byte {
	b := make([]byte, 0, len(e.Data)+160+2*len(e.Type))
	b = append(b, `{"id":"`...)
	b = append(b, e.ID.String()...)
	b = append(b, `","type":`...)
	b = canonjson.AppendString(b, e.Type)
	b = append(b, `,"created_at":"`...)
	b = e.CreatedAt.UTC().AppendFormat(b, time.RFC3339)
	b = append(b, `","data":`...)
	b = append(b, e.Data...)
	return append(b, '}')
}

// CommendaVersion is the one version of Commenda's event object (C1).
const CommendaVersion = "v1.0"

// CommendaBody is Commenda's event object: id, topic, triggered_at, webhook_id,
// organization_id, data, api_version.
func CommendaBody(e *hook.Event, w hook.WebhookID) []byte {
	b := make([]byte, 0, len(e.Data)+320+2*(len(e.Type)+len(e.OrganizationID)))
	b = append(b, `{"id":"`...)
	b = append(b, e.ID.UUID()...)
	b = append(b, `","topic":`...)
	b = canonjson.AppendString(b, e.Type)
	b = append(b, `,"triggered_at":`...)
	b = strconv.AppendInt(b, e.CreatedAt.Unix(), 10)
	b = append(b, `,"webhook_id":"`...)
	b = append(b, w.UUID()...)
	b = append(b, `","organization_id":`...)
	b = canonjson.AppendString(b, e.OrganizationID)
	b = append(b, `,"data":`...)
	b = append(b, e.Data...)
	b = append(b, `,"api_version":"`...)
	b = append(b, CommendaVersion...)
	return append(b, `"}`...)
}

// momentoUserAgent is Momento's own (spec 1).
const momentoUserAgent = "Momento/1.0 (Webhooks; +https://docs.momentohq.com/topics/webhooks)"

// MomentoBody is Momento's: cache, topic, event_timestamp, publish_timestamp,
// topic_sequence_number, token_id, text. at is the time of sending. Where the
// publishing machine's clock is ahead, the event has the time of sending too: no
// receiver should see a message from its future, or one sent before it was
// published (M6).
func MomentoBody(e *hook.Event, at time.Time) []byte {
	sent := at.UnixMilli()
	b := make([]byte, 0, len(e.Data)+320+2*(len(e.Cache)+len(e.Type)+len(e.TokenID)))
	b = append(b, `{"cache":`...)
	b = canonjson.AppendString(b, e.Cache)
	b = append(b, `,"topic":`...)
	b = canonjson.AppendString(b, e.Type)
	b = append(b, `,"event_timestamp":`...)
	b = strconv.AppendInt(b, min(e.CreatedAt.UnixMilli(), sent), 10)
	b = append(b, `,"publish_timestamp":`...)
	b = strconv.AppendInt(b, sent, 10)
	b = append(b, `,"topic_sequence_number":`...)
	b = strconv.AppendInt(b, e.Sequence, 10)
	b = append(b, `,"token_id":`...)
	b = canonjson.AppendString(b, e.TokenID)
	b = append(b, `,"text":`...)
	b = append(b, e.Data...)
	return append(b, '}')
}

// LargestSize is the length of the largest body that any profile makes of what is
// about to be published, but for momento, which has a bound of its own.
func LargestSize(eventType, organizationID string, data []byte) int {
	e := hook.Event{Type: eventType, OrganizationID: organizationID, Data: data, CreatedAt: time.Unix(lastSecond, 0)}
	return max(len(StandardBody(&e)), len(CommendaBody(&e, hook.WebhookID{})))
}

// lastSecond is the end of the year 9999, the longest time that can be printed.
const lastSecond = 253402300799
