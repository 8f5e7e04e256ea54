package egress

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	refused := map[string][]string{
		"loopback":                {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::1%lo"},
		"private":                 {"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1", "fec0::1", "::ffff:10.0.0.1"},
		"link-local":              {"169.254.1.1", "fe80::1", "fe80::1%eth0"},
		"metadata service":        {"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"},
		"carrier-grade NAT":       {"100.64.0.1", "100.127.255.255"},
		"multicast":               {"224.0.0.1", "239.255.255.255", "ff02::1"},
		"broadcast":               {"255.255.255.255"},
		"unspecified":             {"0.0.0.0", "0.1.2.3", "::"},
		"NAT64":                   {"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"},
		"6to4":                    {"2002:7f00:1::", "192.88.99.1"},
		"Teredo":                  {"2001::1"},
		"documentation":           {"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"},
		"benchmarking":            {"198.18.0.1", "2001:2::1"},
		"reserved":                {"240.0.0.1"},
		"IPv4 within IPv6":        {"::127.0.0.1", "::ffff:0:127.0.0.1"},
		"special-purpose address": {"192.0.0.1", "192.31.196.1", "192.52.193.1", "192.175.48.1", "100::1", "2001:20::1", "2620:4f:8000::1", "5f00::1", "4000::1"},
	}
	g, err := newGuard(nil)
	require.NoError(t, err)
	for reason, addrs := range refused {
		for _, a := range addrs {
			require.Equal(t, reason, g.refusal(netip.MustParseAddr(a)), a)
			var blocked *blockedError
			require.ErrorAs(t, g.control("tcp", netip.AddrPortFrom(netip.MustParseAddr(a), 443).String(), nil), &blocked, a)
		}
	}
	for _, a := range []string{"1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450::1"} {
		require.Empty(t, g.refusal(netip.MustParseAddr(a)), a)
	}
	require.NotEmpty(t, g.refusal(netip.Addr{}))
	require.Error(t, g.control("tcp", ":80", nil))
}

func TestGuardAllows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		allow            string
		allowed, refused []string
	}{
		{"a range", "10.1.0.0/16", []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"10.2.0.1", "127.0.0.1"}},
		{"a range not masked", "10.1.2.3/16", []string{"10.1.0.1"}, []string{"10.2.0.1"}},
		{"a mapped range", "::ffff:127.0.0.0/104", []string{"127.0.0.1", "::ffff:127.0.0.1"}, []string{"::1"}},
		{"all of IPv4", "0.0.0.0/0", []string{"127.0.0.1", "169.254.169.254"}, []string{"::1"}},
		{"all of IPv6", "::/0", []string{"::1", "fe80::1%eth0"}, []string{"127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"}},
		{"NAT64 opens no way past the guard", "64:ff9b::/96", []string{"64:ff9b::808:808"}, []string{"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"}},
		{"metadata alone", "169.254.169.254/32", []string{"169.254.169.254"}, []string{"169.254.169.253"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, err := newGuard([]netip.Prefix{netip.MustParsePrefix(tt.allow)})
			require.NoError(t, err)
			for _, a := range tt.allowed {
				require.Empty(t, g.refusal(netip.MustParseAddr(a)), a)
			}
			for _, a := range tt.refused {
				require.NotEmpty(t, g.refusal(netip.MustParseAddr(a)), a)
			}
		})
	}
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:0:0/90")} {
		_, err := newGuard([]netip.Prefix{p})
		require.Error(t, err)
	}
}

// No packet reaches a refused address, whatever URL or name leads to it.
func TestSendBlocked(t *testing.T) {
	t.Parallel()
	addrs := map[string][]string{
		"rebound.test": {"127.0.0.1"},
		"both.test":    {"127.0.0.1", "::1"},
		"mapped.test":  {"::ffff:127.0.0.1"},
		"meta.test":    {"169.254.169.254"},
	}
	c := setup(t, func(cfg *Config) {
		cfg.Allow, cfg.Resolver = nil, names(addrs)
	})
	v4, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = v4.Close() })
	_, port, err := net.SplitHostPort(v4.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{
		"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "localhost", "１２７.０.０.１",
		"rebound.test", "both.test", "mapped.test", "meta.test",
	} {
		for _, scheme := range []string{"http://", "https://"} {
			a, err := c.Send(t.Context(), request(scheme+host+":"+port+"/"))
			require.NoError(t, err)
			require.Equal(t, hook.ClassBlocked, a.Class, host)
			require.Equal(t, "Blocked destination", a.Error)
			require.Empty(t, a.RemoteAddr)
		}
	}
	// A connection would be in the listener's backlog by now.
	require.NoError(t, v4.(*net.TCPListener).SetDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = v4.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// If a name has several addresses, the refused ones are skipped.
func TestSendPassesOverBlocked(t *testing.T) {
	t.Parallel()
	r := listen(t, saying("HTTP/1.1 204 No Content\r\n\r\n"))
	_, port, err := net.SplitHostPort(r.listener.Addr().String())
	require.NoError(t, err)
	c := setup(t, func(cfg *Config) {
		cfg.Resolver = names(map[string][]string{"several.test": {"10.0.0.1", "169.254.169.254", "127.0.0.1"}})
	})
	a, err := c.Send(t.Context(), request("http://several.test:"+port))
	require.NoError(t, err)
	require.Equal(t, 204, a.StatusCode)
	require.Equal(t, r.listener.Addr().String(), a.RemoteAddr)
}
