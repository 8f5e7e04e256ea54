package payload

import (
	"net/http"
	"strings"

	"grapnel/internal/hook"
)

// addOwn adds the webhook's custom headers, with their names as the client wrote them: some receivers compare names
// case-sensitively, in spite of RFC 9110. HTTP/2 sends them in lower case. A custom header never replaces one of
// Grapnel's, in whatever case it is written.
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

// RedactHeaders returns the headers of a request for the delivery log: Grapnel's own, and the names of the webhook's
// custom headers. Without custom headers it returns h itself.
func RedactHeaders(w *hook.Webhook, h http.Header) http.Header {
	if h == nil || len(w.Headers) == 0 {
		return h // nothing was sent, or nothing of it is secret
	}
	custom := make(map[string]hook.Secret, len(w.Headers))
	for name, value := range w.Headers {
		custom[http.CanonicalHeaderKey(name)] = value
	}
	out := h.Clone()
	for name := range out {
		// A name that is sent need not be in canonical form.
		if value, ok := custom[http.CanonicalHeaderKey(name)]; ok {
			out[name] = []string{value.String()}
		}
	}
	return out
}

// asciiType returns an event type for the header X-Event-Type. Printable ASCII except % is sent literally. All other
// bytes, and spaces at the ends, are percent-encoded, so that decodeURIComponent and its like return the type. RFC 9110
// (5.5) wants new fields in ASCII, and receivers read other bytes as Latin-1.
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
