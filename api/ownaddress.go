package api

import (
	"net/netip"
	"net/url"
	"strings"
)

// ownNames is the address at which clients call this API. A webhook to that address would publish or change things in
// response to its own events.
type ownNames struct{ host, port string }

// ownOf returns the address in Config.PublicURL; the zero value if there is none.
func ownOf(raw string) ownNames {
	host, port, _ := placeOf(raw)
	return ownNames{host, port}
}

// has reports whether a URL in canonical form leads to the API. If the API is at a default port, 80 or 443, the other
// default port is taken to lead there too.
func (o ownNames) has(raw string) bool {
	host, port, ok := placeOf(raw)
	if !ok || o.host == "" || host != o.host {
		return false
	}
	return port == o.port || isDefaultPort(port) && isDefaultPort(o.port)
}

func isDefaultPort(port string) bool { return port == "80" || port == "443" }

// placeOf returns the host of a URL, in a form in which hosts can be compared, and its port.
func placeOf(raw string) (host, port string, ok bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return "", "", false
	}
	host = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String()
	}
	switch {
	case u.Port() != "":
		port = strings.TrimLeft(u.Port(), "0")
	case strings.EqualFold(u.Scheme, "http"):
		port = "80"
	default:
		port = "443"
	}
	return host, port, true
}
