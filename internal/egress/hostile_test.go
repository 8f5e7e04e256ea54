package egress

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/egress/egresstest"
)

// dialled records the addresses that the guard allows, and connects to none.
type dialled struct {
	mu    sync.Mutex
	addrs []string
}

func (d *dialled) watch(c *Client) {
	guard := c.dialer.Control
	c.dialer.Control = func(network, address string, rc syscall.RawConn) error {
		if err := guard(network, address, rc); err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.addrs = append(d.addrs, address)
		return syscall.ECONNREFUSED
	}
}

func (d *dialled) seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addrs
}

// Spec 8: no destination of the table is dialled, even if its URL got past the API. Destinations that
// are literal addresses are refused earlier, by CheckURL.
func TestHostileDestinations(t *testing.T) {
	t.Parallel()
	table := egresstest.Destinations("443")
	require.GreaterOrEqual(t, len(table), 60)
	resolver := egresstest.NewNameServer(egresstest.Known(table)).Resolver()
	names := map[string]bool{}
	for _, d := range table {
		require.False(t, names[d.Name], "%s is there twice", d.Name)
		names[d.Name] = true
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			c := setup(t, func(cfg *Config) { cfg.Allow, cfg.Resolver = nil, resolver })
			var through dialled
			through.watch(c)
			for range 3 { // names may change between lookups
				a, err := c.Send(t.Context(), request(d.URL))
				require.NoError(t, err)
				require.Equal(t, d.Attempt, a.Error)
				require.Empty(t, a.RemoteAddr)
				require.Zero(t, a.Timings.TLS)
			}
			require.Empty(t, through.seen())
			err := c.CheckURL(d.URL)
			switch {
			case d.Refusal == "":
				require.NoError(t, err)
			case strings.HasPrefix(d.Refusal, "not allowed: "):
				require.ErrorContains(t, err, "destination ")
				require.ErrorContains(t, err, d.Refusal)
			}
		})
	}
}

// The record of the test above has the addresses that the guard allows.
func TestHostileDestinationsAreWatched(t *testing.T) {
	t.Parallel()
	c := setup(t, func(cfg *Config) {
		cfg.Allow, cfg.Resolver = nil, names(map[string][]string{"mixed.test": {"10.0.0.1", "8.8.8.8", "::1", "127.0.0.1"}})
	})
	var through dialled
	through.watch(c)
	a, err := c.Send(t.Context(), request("http://mixed.test:8080/"))
	require.NoError(t, err)
	require.NotEmpty(t, a.Error)
	require.Equal(t, []string{"8.8.8.8:8080"}, through.seen(), "of public and private answers, the public are dialled")
}

// Spec 8: one deadline covers DNS, connect, TLS, headers and body. It ends the attempt in each of
// these phases.
func TestOneDeadlineCoversAll(t *testing.T) {
	t.Parallel()
	silent := names(map[string][]string{"silent.test": nil})
	hang := listen(t, func(r *receiver, _ net.Conn, _ int64) { <-r.done })
	body := listen(t, answering(func(r *receiver, c net.Conn) {
		_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))
		<-r.done
	}))
	for name, url := range map[string]string{
		"DNS": "http://silent.test/", "connect": hang.url(), "TLS": hang.tlsURL(), "headers": hang.url(), "body": body.url(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t, func(cfg *Config) { cfg.Resolver = silent })
			if name == "connect" {
				c.dialer.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
					<-ctx.Done()
					return ctx.Err()
				}
			}
			req := request(url)
			req.Timeout = short
			begin := time.Now()
			a, err := c.Send(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, name == "body", a.Succeeded(), "the status has decided before the body")
			require.GreaterOrEqual(t, time.Since(begin), short)
			require.Less(t, time.Since(begin), 20*short)
		})
	}
}
