package egress

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode/utf8"
)

// CanonicalURL returns the URL as it is requested. A host that is not ASCII becomes the name
// that IDNA maps it to, so that name resolution, TLS, the Host header and the log use the
// same name. Bytes that RFC 3986 forbids in a query are percent-encoded.
// A canonical URL, and one that does not parse, is returned unchanged.
func (c *Client) CanonicalURL(raw string) string { return canonicalURL(raw) }

func canonicalURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw
	}
	host, query := canonicalHost(u.Host), escapedQuery(u.RawQuery)
	if host == u.Host && query == u.RawQuery {
		return raw
	}
	u.Host, u.RawQuery = host, query
	return u.String()
}

// canonicalHost maps the name in host:port by IDNA. An ASCII name is returned unchanged.
func canonicalHost(hostPort string) string {
	if isASCII(hostPort) {
		return hostPort
	}
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return foldHost(hostPort)
	}
	return net.JoinHostPort(foldHost(host), port)
}

// forbiddenInQuery has the printable ASCII characters that RFC 3986, 3.4, does not allow in a
// query.
const forbiddenInQuery = "\"<>[]\\^`{|}"

// escapedQuery percent-encodes the characters that a query may not have, as net/url does in paths.
func escapedQuery(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c > ' ' && c < utf8.RuneSelf && c != 0x7f && !strings.ContainsRune(forbiddenInQuery, rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
