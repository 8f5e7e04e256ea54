package payload

import (
	"net/http"
	"strings"

	"grapnel/internal/hook"
)

// addOwn adds the webhook's own headers, under their names as the client wrote them: some
// receivers compare names with their case, in spite of RFC 9110. HTTP/2 has lower case
// alone. A name of ours, in whatever case, stays ours.
func addOwn(h http.Header, w *hook.Webhook) {
	if len(w.Headers) == 0 {
		return
	}
	ours := make(map[string]bool, len(h))
	for name := range h {
		ours[strings.ToLower(name)] = true
	}
	for name, value := range w.Headers {
		if !ours[strings.ToLower(name)] {
			h[name] = []string{value.Reveal()}
		}
	}
}

// RedactHeaders is what may be logged of a request's headers: all of ours, and
// the names of the webhook's own. Where that has none, it is h itself.
func RedactHeaders(w *hook.Webhook, h http.Header) http.Header {
	if h == nil || len(w.Headers) == 0 {
		return h // nothing was sent, or nothing secret
	}
	custom := make(map[string]hook.Secret, len(w.Headers))
	for name, value := range w.Headers {
		custom[http.CanonicalHeaderKey(name)] = value
	}
	out := h.Clone()
	for name := range out {
		// As sent, a name need not be in canonical form.
		if value, ok := custom[http.CanonicalHeaderKey(name)]; ok {
			out[name] = []string{value.String()}
		}
	}
	return out
}

// asciiType is an event's type as the header X-Event-Type carries it: printable ASCII
// stands for itself, but for %; the bytes of everything else, and spaces at the ends, are
// percent-encoded, so that decodeURIComponent and its like give the type. RFC 9110 (5.5)
// wants new fields in ASCII, and receivers read others as Latin-1.
func asciiType(eventType string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(eventType) {
		c := eventType[i]
		atEnd := i == 0 || i == len(eventType)-1
		if c > ' ' && c < 0x7f && c != '%' || c == ' ' && !atEnd {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&0xf]})
	}
	return b.String()
}
