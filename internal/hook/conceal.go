package hook

import (
	"net/url"
	"strings"
)

// TextNameFailed is what a tenant is told of a name by which no request could be made:
// that there is none, or that it leads to where no request may go.
const TextNameFailed = "DNS lookup failed"

// Conceal makes an attempt at a name that leads to an address that is not allowed, and
// one at a name that does not exist, look alike, how long they took to be looked up
// included: whoever may create webhooks must not learn which names exist inside. What a
// URL says itself, an address or localhost, is nothing to learn.
func (a *Attempt) Conceal() {
	looked := a.Class == ClassDNS || a.Class == ClassBlocked && a.Timings.DNS > 0
	if !looked || isLocalhost(a.URL) {
		return
	}
	a.Class, a.Error = ClassDNS, TextNameFailed
	a.Timings, a.RemoteAddr = Timings{}, ""
}

// isLocalhost tells a URL of this machine by its name (RFC 6761, 6.3).
func isLocalhost(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
