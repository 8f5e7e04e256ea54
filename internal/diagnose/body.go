package diagnose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"unicode/utf8"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
)

// compareBodies finds how the received body differs from the sent one.
func (d *diagnosis) compareBodies(sent []byte) {
	received := d.Received.Body
	if bytes.Equal(sent, received) {
		return
	}
	f := Finding{Difference: difference(sent, received)}
	switch detail := alteration(sent, received); {
	case len(received) == 0:
		f.Cause, f.Summary, f.NextStep = BodyTruncated, "The body that arrived is empty.", nextEmpty
	case bytes.HasPrefix(sent, received):
		f.Cause, f.NextStep = BodyTruncated, nextTruncated
		f.Summary = "Only the first " + count(len(received)) + " of " + count(len(sent)) + " bytes of the body arrived."
	case sameJSON(sent, received):
		f.Cause, f.NextStep = BodyReserialized, nextReserialized
		f.Summary = "The body is the same JSON in other bytes: it was parsed and written again. " + place(f.Difference)
	default:
		f.Cause, f.NextStep = BodyAltered, nextAltered
		f.Summary = "The body is not the one that was sent" + detail + ". " + place(f.Difference)
	}
	d.add(f)
}

// around is how many bytes are shown before and from the first byte that differs.
const (
	before = 16
	after  = 32
)

func difference(sent, received []byte) *Difference {
	at := 0
	for at < len(sent) && at < len(received) && sent[at] == received[at] {
		at++
	}
	show := func(b []byte) []byte {
		return bytes.Clone(b[min(max(at-before, 0), len(b)):min(at+after, len(b))])
	}
	return &Difference{At: at, Sent: show(sent), Received: show(received), SentLength: len(sent), ReceivedLength: len(received)}
}

// sameJSON reports whether two bodies are the same JSON, whatever the order of members; or one is the other, written as
// a JSON string.
func sameJSON(a, b []byte) bool {
	va, okA := parse(a)
	vb, okB := parse(b)
	if !okA || !okB {
		return false
	}
	if text, ok := vb.(string); ok {
		if inner, ok := parse([]byte(text)); ok {
			vb = inner
		}
	}
	return reflect.DeepEqual(va, vb)
}

func parse(b []byte) (v any, ok bool) {
	return v, json.Unmarshal(b, &v) == nil
}

// alteration names a known change of a body that is no re-serialisation; empty if it is none.
func alteration(sent, received []byte) string {
	switch {
	case bytes.Equal(bytes.TrimPrefix(received, []byte("\ufeff")), sent):
		return ": a byte order mark was put before it"
	case bytes.Equal(decode(string(received)), sent) && len(sent) > 0:
		return ": it is encoded in base64, as some gateways do"
	case bytes.Equal(asLatin1(sent), received):
		return ": it was read as Latin-1 and written as UTF-8"
	case !utf8.Valid(received) && bytes.Equal(asLatin1(received), sent):
		return ": it was converted from UTF-8 to Latin-1"
	case bytes.Equal(bytes.ToValidUTF8(received, nil), sent):
		return ": bytes that are no text were put into it"
	}
	return ""
}

// asLatin1 returns the text of bytes that are taken for Latin-1.
func asLatin1(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

// fromLatin1 undoes asLatin1; nil if it can't.
func fromLatin1(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		if r > 0xff {
			return nil
		}
		out = append(out, byte(r)) //nolint:gosec // it is at most 0xff
	}
	return out
}

// restored returns what may have been sent, if received arrived: itself first. Every sent body is in canonical form.
func restored(p hook.Profile, received []byte) (list [][]byte) {
	list = append(list, received)
	add := func(b []byte) {
		if len(b) == 0 {
			return
		}
		if canonical, err := canonjson.Canonicalize(b); err == nil {
			list = append(list, canonical, ordered(p, canonical))
		}
	}
	add(received)
	add(bytes.TrimPrefix(received, []byte("\ufeff")))
	add(fromLatin1(received))
	if v, ok := parse(received); ok {
		if text, ok := v.(string); ok {
			add([]byte(text))
		}
	}
	if decoded, err := base64.StdEncoding.DecodeString(string(received)); err == nil {
		add(decoded)
	}
	return list
}

// members are the members of a profile's body, in their order.
func members(p hook.Profile) []string {
	switch p {
	case hook.ProfileMomento:
		return []string{"cache", "topic", "event_timestamp", "publish_timestamp", "topic_sequence_number", "token_id", "text"}
	case hook.ProfileCommenda:
		return []string{"id", "topic", "triggered_at", "webhook_id", "organization_id", "data", "api_version"}
	case hook.ProfileStandard:
	}
	return []string{"id", "type", "created_at", "data"}
}

// ordered returns a body with its members in the profile's order; nil if it has other members.
func ordered(p hook.Profile, body []byte) []byte {
	var values map[string]json.RawMessage
	names := members(p)
	if json.Unmarshal(body, &values) != nil || len(values) != len(names) {
		return nil
	}
	out := make([]byte, 0, len(body))
	for i, name := range names {
		value, ok := values[name]
		if !ok {
			return nil
		}
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		out = append(canonjson.AppendString(append(out, separator), name), ':')
		out = append(out, value...)
	}
	return append(out, '}')
}
