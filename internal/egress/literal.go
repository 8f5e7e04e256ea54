package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// CheckURL refuses a destination that is a refused address: a
// literal in any notation that some software understands, or localhost. The
// message may be shown to the client of the API. Other names pass; the addresses that they resolve
// to are checked at every dial.
func (c *Client) CheckURL(u string) error {
	parsed, err := url.Parse(u)
	if err != nil || parsed.Hostname() == "" {
		return errors.New("destination is not a valid URL")
	}
	given := parsed.Hostname()
	host := strings.TrimRight(foldHost(given), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		loopback := c.guard.refusal(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		if loopback != "" && c.guard.refusal(netip.IPv6Loopback()) != "" {
			return &blockedError{dest: given, reason: loopback}
		}
		return nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		var ok bool
		if addr, ok = parseLooseIPv4(host); !ok {
			return nil
		}
	}
	if reason := c.guard.refusal(addr); reason != "" {
		return &blockedError{dest: given, reason: reason}
	}
	if err != nil || host != strings.ToLower(given) {
		// Only libc reads this notation; Go's resolver looks it up as a name, which does not exist.
		return &blockedError{dest: given, reason: fmt.Sprintf("write the address as %s", addr)}
	}
	return nil
}

// foldHost maps a host that is not ASCII by IDNA, as net/http does before it dials. So
// １２７.０.０.１, ①②⑦.⓪.⓪.① and a soft hyphen between digits
// become the address that will be dialled. A host that IDNA cannot map stays unchanged,
// as in net/http.
func foldHost(host string) string {
	if !isASCII(host) {
		if mapped, err := idna.Lookup.ToASCII(host); err == nil {
			host = mapped
		}
	}
	return strings.ToLower(host)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// parseLooseIPv4 parses an IPv4 address in the notations of inet_aton and browsers:
// one to four parts, decimal, octal or hex; the last part fills the remaining bytes.
func parseLooseIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, p := range parts {
		digits, base := p, 10
		switch {
		case strings.HasPrefix(p, "0x"):
			digits, base = "0"+p[2:], 16 // browsers read a bare 0x as 0
		case len(p) > 1 && p[0] == '0':
			base = 8
		}
		n, err := strconv.ParseUint(digits, base, 64)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<bits {
			return netip.Addr{}, false
		}
		v = v<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}
