package hook

import (
	"net/url"
	"strings"
)

// SameOrigin reports whether two URLs have the same scheme, host and port (RFC 6454). Then secrets for one may be sent
// to the other. A URL that does not parse has the same origin as no other.
func SameOrigin(a, b string) bool {
	first, ok := originOf(a)
	second, known := originOf(b)
	return ok && known && first == second
}

// Origin returns a URL's scheme, host and port as text; empty if the URL does not parse.
func Origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

type origin struct{ scheme, host, port string }

func originOf(raw string) (origin, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return origin{}, false
	}
	o := origin{u.Scheme, strings.ToLower(u.Hostname()), strings.TrimLeft(u.Port(), "0")}
	if o.port == "" {
		o.port = map[string]string{"http": "80", "https": "443"}[o.scheme]
	}
	return o, true
}
