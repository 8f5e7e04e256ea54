package payload

import (
	"strconv"
	"time"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
)

// Bodies are written into a buffer of the right size, because a buffer that had to grow would be copied and be held
// twice. A body's size is the sum of its template, in which the values are empty, and of its values.

// Sizes in bytes of values that have the same size in every event.
const (
	eventIDSize  = len("evt_01kab1s6rzfkqbzry2kztmfpx1")
	uuidSize     = len("2535af08-a139-4d0c-9827-1651e46dfbcf")
	timeSize     = len("2026-01-15T12:00:00Z") // up to the year 9999
	mostUnixSize = len("253402300799")         // the end of the year 9999
)

const standardTemplate = `{"id":"","type":,"created_at":"","data":}`

// standardSize returns the size of a standard body.
func standardSize(eventType string, data []byte) int {
	return len(standardTemplate) + eventIDSize + canonjson.StringSize(eventType) + timeSize + len(data)
}

// StandardBody returns the standard profile's body: id, type, created_at, data.
func StandardBody(e *hook.Event) []byte {
	b := make([]byte, 0, standardSize(e.Type, e.Data))
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

// CommendaVersion is the only version of Commenda's event object (C1).
const CommendaVersion = "v1.0"

const commendaTemplate = `{"id":"","topic":,"triggered_at":,"webhook_id":"","organization_id":,"data":,"api_version":"` + CommendaVersion + `"}`

// commendaSize returns the size of the largest Commenda body: its time has as many digits as a time can have.
func commendaSize(topic, organizationID string, data []byte) int {
	return len(commendaTemplate) + 2*uuidSize + canonjson.StringSize(topic) + mostUnixSize + canonjson.StringSize(organizationID) + len(data)
}

// CommendaBody returns Commenda's event object: id, topic, triggered_at, webhook_id, organization_id, data,
// api_version.
func CommendaBody(e *hook.Event, w hook.WebhookID) []byte {
	b := make([]byte, 0, commendaSize(e.Type, e.OrganizationID, e.Data))
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

// momentoUserAgent is the User-Agent that Momento sends (spec 1).
const momentoUserAgent = "Momento/1.0 (Webhooks; +https://docs.momentohq.com/topics/webhooks)"

const momentoTemplate = `{"cache":,"topic":,"event_timestamp":,"publish_timestamp":,"topic_sequence_number":,"token_id":,"text":}`

// MomentoBody returns Momento's body: cache, topic, event_timestamp, publish_timestamp, topic_sequence_number,
// token_id, text. at is the time of sending. If the clock of the publishing machine is ahead, the event's time becomes
// the time of sending: a receiver should never see a message from its future, or one that was sent before it was
// published (M6).
func MomentoBody(e *hook.Event, at time.Time) []byte {
	sent := at.UnixMilli()
	const mostIntSize = len("-9223372036854775808")
	b := make([]byte, 0, len(momentoTemplate)+canonjson.StringSize(e.Cache)+canonjson.StringSize(e.Type)+3*mostIntSize+
		canonjson.StringSize(e.TokenID)+len(e.Data))
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

// LargestSize returns the size in bytes of the largest body that an event to be published can have, in the standard or
// the commenda profile. Messages of the momento profile have a bound of their own.
func LargestSize(eventType, organizationID string, data []byte) int {
	return max(standardSize(eventType, data), commendaSize(eventType, organizationID, data))
}
