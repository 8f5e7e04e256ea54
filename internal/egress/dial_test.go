package egress

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"grapnel/internal/egress/egresstest"
	"grapnel/internal/hook"
)

func portOf(t testing.TB, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return port
}

// RFC 8305: the answer for one family does not wait for the answer for the other.
func TestSendWithoutAnAnswerAboutIPv6(t *testing.T) {
	t.Parallel()
	r := listen(t, saying(noContent))
	server := egresstest.NewNameServer(map[string][][]string{"half.test": {{"127.0.0.1"}}})
	server.LoseAAAA("half.test")
	c := setup(t, func(cfg *Config) { cfg.Resolver = server.Resolver() })
	req := request("http://half.test:" + portOf(t, r.listener.Addr().String()))
	req.Timeout = 4 * time.Second // shorter than the resolver's own time-out
	a, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.True(t, a.Succeeded(), a.Error)
	require.Equal(t, r.listener.Addr().String(), a.RemoteAddr)
	require.Positive(t, a.Timings.DNS)
	require.Positive(t, a.Timings.Connect)
}

// After an address that refuses, or that the guard refuses, the next address is tried.
func TestSendTriesAllAddresses(t *testing.T) {
	t.Parallel()
	r := listen(t, saying(noContent))
	port := portOf(t, r.listener.Addr().String())
	c := setup(t, func(cfg *Config) {
		cfg.Resolver = names(map[string][]string{
			"several.test": {"::1", "10.0.0.1", "127.0.0.1"},
			"refused.test": {"::1"},
			"blocked.test": {"10.0.0.1", "fd00::1"},
		})
	})
	a, err := c.Send(t.Context(), request("http://several.test:"+port))
	require.NoError(t, err)
	require.True(t, a.Succeeded(), a.Error)
	require.Equal(t, r.listener.Addr().String(), a.RemoteAddr)

	a, err = c.Send(t.Context(), request("http://refused.test:"+port))
	require.NoError(t, err)
	require.Equal(t, hook.ClassRefused, a.Class, a.Error)

	a, err = c.Send(t.Context(), request("http://blocked.test:"+port))
	require.NoError(t, err)
	require.Equal(t, hook.ClassBlocked, a.Class, a.Error)
	require.Empty(t, a.RemoteAddr)
}

// Resolution, TLS and Host use one name: the one to which IDNA maps the given name.
func TestSendToAnInternationalName(t *testing.T) {
	t.Parallel()
	for given, name := range map[string]string{
		"münchen.test":       "xn--mnchen-3ya.test",
		"MÜNCHEN.test":       "xn--mnchen-3ya.test",
		"mu\u0308nchen.test": "xn--mnchen-3ya.test",
		"ｅxample.test":       "example.test",
		"shop。test":          "shop.test",
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			hosts := make(chan string, 2)
			record := func(r *receiver, c net.Conn, _ int64) {
				if req := r.read(bufio.NewReader(c)); req != nil {
					hosts <- req.Host
					_, _ = io.WriteString(c, noContent)
				}
			}
			resolver := func(cfg *Config) { cfg.Resolver = names(map[string][]string{name: {"127.0.0.1"}}) }
			plain := listen(t, record)
			port := portOf(t, plain.listener.Addr().String())
			url := "http://" + given + ":" + port + "/a?b"
			a, err := setup(t, resolver).Send(t.Context(), request(url))
			require.NoError(t, err)
			require.True(t, a.Succeeded(), a.Error)
			require.Equal(t, name+":"+port, <-hosts)
			canonical := setup(t).CanonicalURL(url)
			require.Equal(t, "http://"+name+":"+port+"/a?b", canonical)
			require.Equal(t, canonical, setup(t).CanonicalURL(canonical))

			cert, roots := certificate(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{name} })
			asked := make(chan string, 1)
			secured := listenTLS(t, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				asked <- hello.ServerName
				return &cert, nil
			}}, record)
			port = portOf(t, secured.listener.Addr().String())
			a, err = setup(t, resolver, trusting(roots)).Send(t.Context(), request("https://"+given+":"+port))
			require.NoError(t, err)
			require.True(t, a.Succeeded(), a.Error)
			require.Equal(t, name, <-asked)
			require.Equal(t, name+":"+port, <-hosts)
		})
	}
}

func TestCanonicalURLLeavesTheRest(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, url := range []string{
		"https://EXAMPLE.com/Hook%2f?a=%7b", "https://example.com", "https://[::1]:8443/x", "http://127.0.0.1:1/?a=b+c&d=%20'()*", "::", "https://\u0000",
	} {
		require.Equal(t, url, c.CanonicalURL(url))
	}
	require.Equal(t, "https://example.com/?a%5B%5D=%22", c.CanonicalURL(`https://example.com/?a[]="`))
}

// A connection is not used after its greatest age, with HTTP/1 and HTTP/2.
func TestSendRenewsConnections(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		var addresses []string
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { addresses = append(addresses, r.RemoteAddr) }))
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		t.Cleanup(srv.Close)
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		c := setup(t, trusting(roots))
		t.Cleanup(c.Close)
		send := func() {
			t.Helper()
			a, err := c.Send(t.Context(), request(srv.URL))
			require.NoError(t, err)
			require.True(t, a.Succeeded(), a.Error)
		}
		send()
		send()
		c.mu.Lock()
		c.pool.born = c.pool.born.Add(-defaultConnAge)
		c.mu.Unlock()
		send()
		send()
		require.Equal(t, addresses[0], addresses[1])
		require.NotEqual(t, addresses[1], addresses[2])
		require.Equal(t, addresses[2], addresses[3])
	}
}

// RFC 9113, 7: HTTP_1_1_REQUIRED.
func TestSendWhereHTTP2IsRefused(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t, func(*x509.Certificate) {})
	protocols := make(chan string, 2)
	r := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}, func(r *receiver, c net.Conn, _ int64) {
		tc, _ := c.(*tls.Conn)
		if tc.HandshakeContext(t.Context()) != nil {
			return
		}
		protocol := tc.ConnectionState().NegotiatedProtocol
		protocols <- protocol
		if protocol != "h2" {
			saying(noContent)(r, c, 0)
			return
		}
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				_ = f.WriteRSTStream(h.StreamID, http2.ErrCodeHTTP11Required)
			}
		}
	})
	a, err := setup(t, trusting(roots)).Send(t.Context(), request(r.tlsURL()))
	require.NoError(t, err)
	require.True(t, a.Succeeded(), a.Error)
	require.Equal(t, "h2", <-protocols)
	require.Equal(t, "http/1.1", <-protocols)
	require.EqualValues(t, 1, r.requests.Load())
	require.True(t, strings.HasPrefix(a.RemoteAddr, "127.0.0.1:"))
}
