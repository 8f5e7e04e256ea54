package hook

import (
	"net/url"
	"strings"
)

// TextNameFailed is the error that a tenant sees if no request could be made because of the host name: it does not
// exist, or its address is not allowed.
const TextNameFailed = "DNS lookup failed"

// Conceal gives an attempt the same error whether its host name does not exist or has an address that is not allowed,
// and removes the timings of the look-up. A client that creates webhooks must not learn which names exist in the
// operator's network. An address in the URL itself, or localhost, is no secret.
func (a *Attempt) Conceal() {
	looked := a.Class == ClassDNS || a.Class == ClassBlocked && a.Timings.DNS > 0
	if !looked || isLocalhost(a.URL) {
		return
	}
	a.Class, a.Error = ClassDNS, TextNameFailed
	a.Timings, a.RemoteAddr = Timings{}, ""
}

// isLocalhost reports whether the URL has the name localhost (RFC 6761, 6.3).
func isLocalhost(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
