package hook

import (
	"slices"
	"strconv"
	"strings"
)

// refusedHeaders returns the headers that Grapnel sets or that belong to the connection. A custom header of that name
// would break the signature or the framing (S1).
func refusedHeaders() []string {
	return []string{
		"accept-encoding", "authority", "connection", "content-encoding", "content-length", "content-type",
		"commenda-x-secret", "date", "expect", "host", "http2-settings", "keep-alive", "momento-signature",
		"proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "user-agent", HopsHeader, "webhook-id", "webhook-signature", "webhook-test", "webhook-timestamp",
		"x-event-type", "x-webhook-attempt", "x-webhook-signature",
	}
}

func (w *Webhook) validateHeaders(v *violations) {
	if len(w.Headers) > MaxHeaders {
		v.add("body.headers", nil, "must be at most %d", MaxHeaders)
		return
	}
	refused := refusedHeaders()
	names := make([]string, 0, len(w.Headers))
	for name := range w.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	seen := map[string]bool{}
	for _, name := range names {
		at := "body.headers." + strings.ToValidUTF8(name[:min(len(name), 64)], "")
		lower := strings.ToLower(name)
		value := w.Headers[name].Reveal()
		switch {
		case !isToken(name) || len(name) > 64:
			v.add(at, nil, "is not a header name")
		case slices.Contains(refused, lower):
			v.add(at, nil, "is set by Grapnel or belongs to the connection")
		case seen[lower]:
			v.add(at, nil, "is given twice")
		case len(value) > MaxHeaderValueLength || !isHeaderValue(value):
			v.add(at, nil, "must be at most %d printable ASCII characters", MaxHeaderValueLength)
		}
		seen[lower] = true
	}
}

// isToken reports whether s is a token of RFC 9110.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}

// isHeaderValue is stricter than RFC 9110, so that every client and server reads the same value: it allows no tabs, no
// bytes over 0x7e, and no surrounding spaces.
func isHeaderValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

func indexed(location string, i int) string {
	return location + "[" + strconv.Itoa(i) + "]"
}
