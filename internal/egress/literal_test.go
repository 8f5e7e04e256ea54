package egress

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	closed := setup(t, func(cfg *Config) { cfg.Allow = nil })
	opened := setup(t)
	loopback := func(host string) string { return "destination " + host + " is not allowed: loopback" }
	standard := func(host, addr string) string {
		return "destination " + host + " is not allowed: write the address as " + addr
	}
	tests := []struct {
		host           string // as in the URL
		closed, opened string // the refusal; "" if the host passes
	}{
		{"127.0.0.1", loopback("127.0.0.1"), ""},
		{"127.0.0.1:8080", loopback("127.0.0.1"), ""},
		{"127.0.0.1.", loopback("127.0.0.1."), standard("127.0.0.1.", "127.0.0.1")},
		{"2130706433", loopback("2130706433"), standard("2130706433", "127.0.0.1")},
		{"0177.0.0.1", loopback("0177.0.0.1"), standard("0177.0.0.1", "127.0.0.1")},
		{"0x7f.1", loopback("0x7f.1"), standard("0x7f.1", "127.0.0.1")},
		{"0X7F000001", loopback("0X7F000001"), standard("0X7F000001", "127.0.0.1")},
		{"127.1", loopback("127.1"), standard("127.1", "127.0.0.1")},
		{"127.0.1", loopback("127.0.1"), standard("127.0.1", "127.0.0.1")},
		{"１２７.０.０.１", loopback("１２７.０.０.１"), standard("１２７.０.０.１", "127.0.0.1")},
		{"127。0。0。1", loopback("127。0。0。1"), standard("127。0。0。1", "127.0.0.1")},
		{"[::1]", loopback("::1"), ""},
		{"[::1]:443", loopback("::1"), ""},
		{"[0:0:0:0:0:0:0:1]", loopback("0:0:0:0:0:0:0:1"), ""},
		{"[::1%25lo]", loopback("::1%lo"), ""},
		{"[::ffff:127.0.0.1]", loopback("::ffff:127.0.0.1"), ""},
		{"[::ffff:7f00:1]", loopback("::ffff:7f00:1"), ""},
		{"localhost", loopback("localhost"), ""},
		{"LOCALHOST.", loopback("LOCALHOST."), ""},
		{"api.localhost:3000", loopback("api.localhost"), ""},
		{"0", "destination 0 is not allowed: unspecified", "destination 0 is not allowed: unspecified"},
		{"[64:ff9b::7f00:1]", "destination 64:ff9b::7f00:1 is not allowed: NAT64", "destination 64:ff9b::7f00:1 is not allowed: NAT64"},
		{"[2002:7f00:1::]", "destination 2002:7f00:1:: is not allowed: 6to4", "destination 2002:7f00:1:: is not allowed: 6to4"},
		{"[fe80::1%25eth0]", "destination fe80::1%eth0 is not allowed: link-local", "destination fe80::1%eth0 is not allowed: link-local"},
		{"169.254.169.254", "destination 169.254.169.254 is not allowed: metadata service", "destination 169.254.169.254 is not allowed: metadata service"},
		{"134744072", standard("134744072", "8.8.8.8"), standard("134744072", "8.8.8.8")},
		{"8.8.8.8", "", ""},
		{"[2606:4700::1111]", "", ""},
		{"example.com", "", ""},
		{"EXAMPLE.com", "", ""},
		{"localhost.example.com", "", ""},
		{"notlocalhost", "", ""},
		{"127.0.0.1.nip.io", "", ""}, // a name: it is checked when it is dialled
		{"256.1.1.1", "", ""},
		{"1.2.3.4.5", "", ""},
		{"0x", "destination 0x is not allowed: unspecified", "destination 0x is not allowed: unspecified"},
		{"0xyz", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			t.Parallel()
			for client, want := range map[*Client]string{closed: tt.closed, opened: tt.opened} {
				err := client.CheckURL("https://" + tt.host + "/hook")
				if want == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, want)
				}
			}
		})
	}
	for _, u := range []string{"", "http://", "http://[::1", "/hook", "http://:80/"} {
		require.EqualError(t, opened.CheckURL(u), "destination is not a valid URL", u)
	}
}

func TestCheckURLWithOneLoopbackOpen(t *testing.T) {
	t.Parallel()
	c := setup(t, func(cfg *Config) { cfg.Allow = []netip.Prefix{netip.MustParsePrefix("::1/128")} })
	require.NoError(t, c.CheckURL("http://localhost/"))
	require.Error(t, c.CheckURL("http://127.0.0.1/"))
}
