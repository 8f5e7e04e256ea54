package egresstest

import (
	"slices"
	"strings"
)

// The errors of attempts at hostile destinations whose URL got past the API.
const (
	// Blocked is the error of the guard.
	Blocked = "Blocked destination"
	// Unknown is the error of hosts that only libc or a browser reads as an
	// address: for Go's resolver they are names that do not exist.
	Unknown = "DNS lookup failed"
	// Unsendable is the error of URLs to which no request can be sent.
	Unsendable = "Request failed"
)

// Destination is a row of the table.
type Destination struct {
	// Name describes what is hostile. It is unique.
	Name string
	URL  string
	// Refusal is part of the API's error at create and update; "" if the
	// host is an ordinary name, which is looked up only at delivery.
	Refusal string
	// Attempt is the error of an attempt.
	Attempt string
	// Answers are the name server's answers for the host, lookup by lookup; the last
	// one is repeated.
	Answers [][]string
}

// Told returns the error that the tenant sees. For a name that resolves to an inside address, except
// localhost, it is that of a name that does not exist.
func (d *Destination) Told() string {
	if d.Attempt == Blocked && d.Answers != nil && !strings.Contains(strings.ToLower(d.URL), "localhost") {
		return Unknown
	}
	return d.Attempt
}

// Destinations returns the table. Rows that lead to this machine use the port.
func Destinations(port string) []Destination {
	all := slices.Concat(literals(), spellings(), notURLs(), names())
	for i := range all {
		all[i].URL = strings.ReplaceAll(all[i].URL, "{port}", port)
	}
	return all
}

// literals returns special addresses in the notation that Go dials.
func literals() []Destination {
	var all []Destination
	for _, group := range []struct {
		reason string
		hosts  []string
	}{
		{"loopback", []string{"127.0.0.1", "127.0.0.2", "127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]"}},
		{"loopback", []string{"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:FFFF:7F00:0001]"}},
		{"unspecified", []string{"0.0.0.0", "0.1.2.3", "[::]", "[::ffff:0.0.0.0]"}},
		{"private", []string{"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "[::ffff:10.0.0.1]", "[::ffff:c0a8:1]"}},
		{"private", []string{"[fc00::1]", "[fd12:3456:789a::1]", "[fec0::1]"}},
		{"link-local", []string{"169.254.0.1", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%25eth0]", "[::ffff:169.254.0.1]"}},
		{"metadata service", []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]"}},
		{"metadata service", []string{"100.100.100.200", "168.63.129.16", "192.0.0.192"}},
		{"carrier-grade NAT", []string{"100.64.0.1", "100.127.255.255"}},
		{"multicast", []string{"224.0.0.1", "239.255.255.250", "[ff02::1]", "[ff02::1%25lo]", "[ff0e::1]"}},
		{"broadcast", []string{"255.255.255.255"}},
		{"reserved", []string{"240.0.0.1"}},
		{"documentation", []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "[2001:db8::1]", "[3fff::1]"}},
		{"benchmarking", []string{"198.18.0.1", "198.19.255.255", "[2001:2::1]"}},
		{"special-purpose address", []string{"192.0.0.1", "192.175.48.1", "[100::1]", "[2001:20::1]", "[5f00::1]"}},
		{"NAT64", []string{"[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a00:1]"}},
		{"6to4", []string{"[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "192.88.99.1"}},
		{"Teredo", []string{"[2001:0:7f00:1::1]", "[2001::f5ff:fffe]"}},
		{"IPv4 within IPv6", []string{"[::127.0.0.1]", "[::7f00:1]", "[::ffff:0:127.0.0.1]"}},
		{"link-local", []string{"[fe80::5efe:7f00:1]"}}, // ISATAP
	} {
		for _, host := range group.hosts {
			all = append(all, Destination{
				Name: group.reason + " " + host, URL: "http://" + host + ":{port}/",
				Refusal: "not allowed: " + group.reason, Attempt: Blocked,
			})
		}
	}
	return append(all,
		Destination{Name: "loopback by TLS", URL: "https://127.0.0.1:{port}/", Refusal: "not allowed: loopback", Attempt: Blocked},
		Destination{Name: "loopback, scheme in capitals", URL: "HTTP://127.0.0.1:{port}/", Refusal: "not allowed: loopback", Attempt: Blocked},
		Destination{Name: "loopback, a public name in the query", URL: "http://127.0.0.1:{port}?@example.com/", Refusal: "not allowed: loopback", Attempt: Blocked},
		Destination{Name: "metadata, its path", URL: "http://169.254.169.254/latest/meta-data/iam/security-credentials/", Refusal: "not allowed: metadata service", Attempt: Blocked},
	)
}

// spellings returns special addresses in the notations of libc, browsers and IDNA, and the
// names of this machine.
func spellings() []Destination {
	row := func(name, host, reason, attempt string, answers ...[]string) Destination {
		return Destination{name, "http://" + host + ":{port}/", "not allowed: " + reason, attempt, answers}
	}
	loopback := []string{"127.0.0.1", "::1"}
	return []Destination{
		row("one decimal number", "2130706433", "loopback", Unknown),
		row("metadata as one decimal number", "2852039166", "metadata service", Unknown),
		row("zero", "0", "unspecified", Unknown),
		row("octal", "0177.0.0.1", "loopback", Unknown),
		row("octal with more zeros", "00000177.0.0.01", "loopback", Unknown),
		row("one octal number", "017700000001", "loopback", Unknown),
		row("private in octal", "0300.0250.0.01", "private", Unknown),
		row("hex", "0x7f.0x0.0x0.0x1", "loopback", Unknown),
		row("one hex number", "0x7f000001", "loopback", Unknown),
		row("hex in capitals", "0X7F000001", "loopback", Unknown),
		row("metadata in hex", "0xa9.0xfe.0xa9.0xfe", "metadata service", Unknown),
		row("two parts", "127.1", "loopback", Unknown),
		row("three parts", "127.0.1", "loopback", Unknown),
		row("private in two parts", "10.1", "private", Unknown),
		row("octal, decimal and hex mixed", "0x7f.1", "loopback", Unknown),
		row("a leading zero", "127.0.0.01", "loopback", Unknown),
		row("trailing dot", "127.0.0.1.", "loopback", Unknown),
		row("metadata with a trailing dot", "169.254.169.254.", "metadata service", Unknown),
		row("full-width digits", "１２７.０.０.１", "loopback", Blocked),
		row("ideographic full stops", "127。0。0。1", "loopback", Blocked),
		row("half-width full stops", "127｡0｡0｡1", "loopback", Blocked),
		row("full-width full stops", "127．0．0．1", "loopback", Blocked),
		row("digits in circles", "①②⑦.⓪.⓪.①", "loopback", Blocked),
		row("superscript digits", "¹²⁷.⁰.⁰.¹", "loopback", Blocked),
		row("mathematical digits", "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "loopback", Blocked),
		row("a soft hyphen", "127.0.0.1\u00ad", "loopback", Blocked),
		row("a zero-width space", "169.254\u200b.169.254", "metadata service", Blocked),
		row("percent-encoded full-width digits", "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", "loopback", Blocked),
		row("percent-encoded full stops", "127%E3%80%820%E3%80%820%E3%80%821", "loopback", Blocked),
		row("full-width decimal number", "２１３０７０６４３３", "loopback", Unknown),
		row("full-width hex", "０ｘ７ｆ.１", "loopback", Unknown),
		row("localhost", "localhost", "loopback", Blocked, loopback),
		row("localhost in capitals", "LOCALHOST", "loopback", Blocked, loopback),
		row("localhost with the root's dot", "localhost.", "loopback", Blocked, loopback),
		row("below localhost", "api.localhost", "loopback", Blocked, loopback),
		row("full-width localhost", "ｌｏｃａｌｈｏｓｔ", "loopback", Blocked, loopback),
		row("circled localhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "loopback", Blocked, loopback),
	}
}

// notURLs returns texts that URL parsers read differently; no webhook may have them.
func notURLs() []Destination {
	const invalid, absolute, host, user, port = "not a valid URL", "absolute http or https", "must name a host", "user name", "port"
	return []Destination{
		{"user name and password", "http://user:pass@127.0.0.1:{port}/", user, Blocked, nil},
		{"a public name as user name", "http://example.com@127.0.0.1:{port}/", user, Blocked, nil},
		{"an address as user name", "http://127.0.0.1:{port}@example.invalid/", user, Unknown, nil},
		{"a fragment", "http://127.0.0.1:{port}#@example.com/", "fragment", Blocked, nil},
		{"a backslash", `http://example.com\@127.0.0.1:{port}/`, invalid, Unsendable, nil},
		{"a backslash in the path", `http://127.0.0.1:{port}\@example.com/`, invalid, Unsendable, nil},
		{"two at signs", "http://a@127.0.0.1:{port}@example.invalid/", user, Unknown, nil},
		{"a percent-encoded dot", "http://127.0.0%2e1:{port}/", invalid, Unsendable, nil},
		{"percent-encoded digits", "http://%31%32%37.0.0.1:{port}/", invalid, Unsendable, nil},
		{"a percent-encoded slash", "http://127.0.0.1%2f@example.invalid/", user, Unknown, nil},
		{"a null byte", "http://127.0.0.1%00.example.com/", invalid, Unsendable, nil},
		{"a line break", "http://127.0.0.1:{port}/\r\nHost: internal", invalid, Unsendable, nil},
		{"a tab in the host", "http://127.0\t.0.1:{port}/", invalid, Unsendable, nil},
		{"a space before", " http://127.0.0.1:{port}/", invalid, Unsendable, nil},
		{"IPv6 without brackets", "http://::1:{port}/", invalid, Unsendable, nil},
		{"half a bracket", "http://[::1:{port}/", invalid, Unsendable, nil},
		{"a name in brackets", "http://[localhost]:{port}/", invalid, Unsendable, nil},
		{"a future address", "http://[v1.fe80::1]:{port}/", invalid, Unsendable, nil},
		{"two ports", "http://127.0.0.1:{port}:80/", invalid, Unsendable, nil},
		{"port 0", "http://127.0.0.1:0/", port, Blocked, nil},
		{"two trailing dots", "http://127.0.0.1..:{port}/", host, Unknown, nil},
		{"a leading dot", "http://.127.0.0.1:{port}/", host, Unknown, nil},
		{"three slashes", "http:///127.0.0.1:{port}/", host, Unsendable, nil},
		{"no slashes", "http:127.0.0.1:{port}/", host, Unsendable, nil},
		{"no scheme", "//127.0.0.1:{port}/", absolute, Unsendable, nil},
		{"a file", "file:///etc/passwd", absolute, Unsendable, nil},
		{"a socket", "unix:///var/run/docker.sock", absolute, Unsendable, nil},
		{"gopher", "gopher://127.0.0.1:{port}/_SET%20a%20b", absolute, Unsendable, nil},
		{"ftp", "ftp://127.0.0.1:{port}/", absolute, Unsendable, nil},
		{"a websocket", "ws://127.0.0.1:{port}/", absolute, Unsendable, nil},
	}
}

// names returns ordinary names with special addresses.
func names() []Destination {
	row := func(name, host string, answers ...[]string) Destination {
		return Destination{name, "http://" + host + ":{port}/", "", Blocked, answers}
	}
	one := func(addrs ...string) []string { return addrs }
	return []Destination{
		row("a name of loopback", "loopback.test", one("127.0.0.1")),
		row("a name of loopback by IPv6", "loopback6.test", one("::1")),
		row("a name of both loopbacks", "loopbacks.test", one("::1", "127.0.0.1")),
		row("a name that contains its address", "127.0.0.1.nip.test", one("127.0.0.1")),
		row("a name that begins like an address", "0x7f.1.test", one("127.0.0.1")),
		row("a name with the root's dot", "rooted.test.", one("127.0.0.1")),
		row("a name in capitals", "CAPITALS.test", one("127.0.0.1")),
		row("an internationalised name", "bücher.test", one("127.0.0.1")),
		row("a name of a mapped address", "mapped.test", one("::ffff:127.0.0.1")),
		row("a name of the unspecified address", "unspecified.test", one("0.0.0.0")),
		row("a name of the unspecified address by IPv6", "unspecified6.test", one("::")),
		row("a name of the metadata service", "metadata.test", one("169.254.169.254")),
		row("a name of the metadata service by IPv6", "metadata6.test", one("fd00:ec2::254")),
		row("a cloud's own name of it", "metadata.google.internal", one("169.254.169.254")),
		row("a name of a private address", "private.test", one("10.0.0.1")),
		row("a name of a unique local address", "local.test", one("fd12::1")),
		row("a name of a link-local address", "link.test", one("fe80::1")),
		row("a name behind NAT64", "nat64.test", one("64:ff9b::7f00:1")),
		row("a name behind 6to4", "6to4.test", one("2002:7f00:1::")),
		row("a name of carrier-grade NAT", "cgnat.test", one("100.64.0.1")),
		row("a name of the broadcast address", "broadcast.test", one("255.255.255.255")),
		row("a name of many private addresses", "many.test", one("10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "fd12::1", "::1")),
		row("a name that changes between lookups", "changing.test", one("10.0.0.1"), one("169.254.169.254"), one("127.0.0.1")),
		row("a name that changes its family", "family.test", one("::1"), one("127.0.0.1")),
		{"a service's name inside", "http://kubernetes.default.svc:{port}/", "", Blocked, [][]string{{"10.96.0.1"}}},
		{"a name by TLS", "https://secure.test:{port}/", "", Blocked, [][]string{{"127.0.0.1"}}},
	}
}
