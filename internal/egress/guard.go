package egress

import (
	"fmt"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// blockedError is the error for a destination that the guard refuses.
type blockedError struct {
	dest   string
	reason string
}

func (e *blockedError) Error() string {
	return fmt.Sprintf("destination %s is not allowed: %s", e.dest, e.reason)
}

// namedRange is a refused range and its name.
type namedRange struct {
	prefix netip.Prefix
	reason string
}

// guard decides which addresses may be called. The package ssrf has the registries of
// special-purpose addresses. The named ranges give the reason, and add ranges
// that the registries lack.
type guard struct {
	allow    []netip.Prefix
	ranges   []namedRange
	registry *ssrf.Guardian
	nat64    netip.Prefix
}

func newGuard(allow []netip.Prefix) (*guard, error) {
	g := &guard{
		ranges:   namedRanges(),
		registry: ssrf.New(ssrf.WithAnyPort()),
		nat64:    netip.MustParsePrefix("64:ff9b::/96"),
	}
	for _, p := range allow {
		if !p.IsValid() {
			return nil, fmt.Errorf("egress: allowed range %v is not a prefix", p)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("egress: allowed range %v reaches beyond the IPv4-mapped addresses", p)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		// A prefix with a zone contains no address; the zone names an interface, not a destination.
		g.allow = append(g.allow, netip.PrefixFrom(p.Addr().WithZone(""), p.Bits()).Masked())
	}
	return g, nil
}

// namedRanges returns the refused ranges, narrow ranges before wide ones.
func namedRanges() []namedRange {
	var out []namedRange
	add := func(reason string, prefixes ...string) {
		for _, p := range prefixes {
			out = append(out, namedRange{netip.MustParsePrefix(p), reason})
		}
	}
	// Metadata services of clouds: AWS, GCP and Azure share the first; then Azure's
	// wire server, which has a public address, Alibaba's, Oracle's, and AWS's IPv6 address.
	add("metadata service", "169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128")
	add("loopback", "127.0.0.0/8", "::1/128")
	add("private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")
	add("link-local", "169.254.0.0/16", "fe80::/10")
	add("carrier-grade NAT", "100.64.0.0/10")
	add("broadcast", "255.255.255.255/32")
	add("multicast", "224.0.0.0/4", "ff00::/8")
	add("unspecified", "0.0.0.0/8", "::/128")
	add("IPv4 within IPv6", "::/96", "::ffff:0:0:0/96")
	add("NAT64", "64:ff9b::/96", "64:ff9b:1::/48")
	add("6to4", "2002::/16", "192.88.99.0/24")
	add("Teredo", "2001::/32")
	add("documentation", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
	add("benchmarking", "198.18.0.0/15", "2001:2::/48")
	add("reserved", "240.0.0.0/4")
	return out
}

// control is a hook of net.Dialer. It gets the address that the socket is
// about to connect to, so that no further look-up can change it.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &blockedError{dest: address, reason: "not an address"}
	}
	if reason := g.refusal(ap.Addr()); reason != "" {
		return &blockedError{dest: ap.Addr().String(), reason: reason}
	}
	return nil
}

// refusal returns why an address must not be called; "" if it may be called.
func (g *guard) refusal(addr netip.Addr) string {
	if !addr.IsValid() {
		return "not an address"
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range g.allow {
		if !p.Contains(addr) {
			continue
		}
		if g.nat64.Contains(addr) {
			// Allowing the gateway does not allow the addresses behind it.
			b := addr.As16()
			return g.refusal(netip.AddrFrom4([4]byte(b[12:])))
		}
		return ""
	}
	for _, r := range g.ranges {
		if r.prefix.Contains(addr) {
			return r.reason
		}
	}
	if g.registry.SafeAddr(addr) != nil {
		return "special-purpose address"
	}
	return ""
}
