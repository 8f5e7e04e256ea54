package api

import (
	"net/netip"
	"net/url"
	"strings"
)

// ownNames are where this API is called by its users. A webhook to there would publish,
// or change, what made it.
type ownNames struct{ host, port string }

// ownOf reads Config.PublicURL; the zero value has no names.
func ownOf(raw string) ownNames {
	host, port, _ := placeOf(raw)
	return ownNames{host, port}
}

// has reports whether a URL, in canonical form, leads to the API. Where that is at the
// default port of http or https, the other one leads there too.
func (o ownNames) has(raw string) bool {
	host, port, ok := placeOf(raw)
	if !ok || o.host == "" || host != o.host {
		return false
	}
	return port == o.port || isDefaultPort(port) && isDefaultPort(o.port)
}

func isDefaultPort(port string) bool { return port == "80" || port == "443" }

// placeOf is a URL's host, in the one form that it has for comparing, and its port.
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
