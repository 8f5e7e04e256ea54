package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"grapnel/internal/clip"
	"grapnel/internal/hook"
)

// checkLocal refuses requests that a page of another site can make a browser on this machine send, where requests need
// no key: by a name that the site has pointed to this address (DNS rebinding), or across origins (CSRF). Programs send
// neither Origin nor Sec-Fetch-Site.
func checkLocal(r *http.Request) error {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Values("Origin")
	switch {
	case !isLocalHost(r.Host):
		return elsewhere("the request is for the host " + clip.Text(r.Host, longestValue) + ": call this service by localhost or 127.0.0.1")
	case len(origin) > 0 && !slices.ContainsFunc(origin, func(o string) bool { return isOriginOf(o, r.Host) }),
		len(origin) > 1, site != "" && site != "same-origin" && site != "none":
		return elsewhere("the request comes from a page of another origin")
	}
	return nil
}

func elsewhere(why string) error {
	return &hook.Error{Kind: hook.KindForbidden, Message: "with --auth=none only this machine may send requests, and " + why}
}

// isLocalHost reports whether a Host header names this machine and can't be made to name another: a loopback address,
// or a name under localhost (RFC 6761, 6.3).
func isLocalHost(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostPort, "["), "]")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// isOriginOf reports whether a page of the origin was loaded from the host and port.
func isOriginOf(origin, hostPort string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && strings.EqualFold(u.Host, hostPort)
}
