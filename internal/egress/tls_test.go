package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// certificate returns a self-signed certificate for 127.0.0.1, valid now, after the given change.
func certificate(t testing.TB, change func(*x509.Certificate)) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:         true, BasicConstraintsValid: true,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, pool
}

func trusting(pool *x509.CertPool) func(*Config) {
	return func(cfg *Config) { cfg.RootCAs = pool }
}

// listenTLS serves scripts over TLS.
func listenTLS(t testing.TB, cfg *tls.Config, script func(*receiver, net.Conn, int64)) *receiver {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	require.NoError(t, err)
	return serve(t, l, script)
}

func (r *receiver) tlsURL() string { return "https://" + r.listener.Addr().String() + "/hook" }

func TestSendTLS(t *testing.T) {
	t.Parallel()
	const verification = "TLS certificate verification failed: "
	tests := []struct {
		name   string
		change func(*x509.Certificate)
		tls    func(*tls.Config)
		roots  func(*x509.CertPool) *x509.CertPool
		class  hook.ErrorClass
		text   string
	}{
		{name: "trusted"},
		{name: "TLS 1.2", tls: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{
			name:  "TLS 1.1",
			tls:   func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
			class: hook.ClassTLS, text: "TLS handshake failed: protocol version not supported",
		},
		{
			name:  "self-signed",
			roots: func(*x509.CertPool) *x509.CertPool { return x509.NewCertPool() },
			class: hook.ClassTLS, text: verification + "certificate is signed by an unknown authority",
		},
		{
			name:   "expired",
			change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
			class:  hook.ClassTLS, text: verification + "certificate has expired (" + time.Now().Add(-time.Minute).UTC().Format(time.DateOnly) + ")",
		},
		{
			name:   "not valid yet",
			change: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) },
			class:  hook.ClassTLS, text: verification + "certificate is not valid yet (" + time.Now().Add(time.Minute).UTC().Format(time.DateOnly) + ")",
		},
		{
			name:   "wrong name",
			change: func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.test"} },
			class:  hook.ClassTLS, text: verification + "certificate is not valid for 127.0.0.1",
		},
		{
			name:   "for clients only",
			change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
			class:  hook.ClassTLS, text: verification + "certificate is not meant for servers",
		},
		{
			name:  "wants a client certificate",
			tls:   func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert },
			class: hook.ClassTLS, text: "TLS handshake failed: the receiver asks for a client certificate",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			change := tt.change
			if change == nil {
				change = func(*x509.Certificate) {}
			}
			cert, pool := certificate(t, change)
			if tt.roots != nil {
				pool = tt.roots(pool)
			}
			cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
			if tt.tls != nil {
				tt.tls(cfg)
			}
			r := listenTLS(t, cfg, saying("HTTP/1.1 204 No Content\r\n\r\n"))
			a, err := setup(t, trusting(pool)).Send(t.Context(), request(r.tlsURL()))
			require.NoError(t, err)
			require.Equal(t, tt.class, a.Class)
			require.Equal(t, tt.text, a.Error)
			require.Positive(t, a.Timings.TLS)
			require.Equal(t, r.listener.Addr().String(), a.RemoteAddr)
			if tt.class != hook.ClassNone {
				require.Zero(t, r.requests.Load())
			}
		})
	}
}

func TestSendTLSToPlainServer(t *testing.T) {
	t.Parallel()
	r := listen(t, func(_ *receiver, c net.Conn, _ int64) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	})
	a, err := setup(t).Send(t.Context(), request(r.tlsURL()))
	require.NoError(t, err)
	require.Equal(t, hook.ClassTLS, a.Class)
	require.Equal(t, "TLS handshake failed: the port speaks plain HTTP", a.Error)
}

func TestSendHTTP2(t *testing.T) {
	t.Parallel()
	type seen struct {
		proto  string
		length int64
		header http.Header
	}
	got := make(chan seen, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- seen{r.Proto, r.ContentLength, r.Header}
		switch r.URL.Path {
		case "/big":
			w.Header().Set("X-Big", strings.Repeat("x", 80<<10))
		case "/many":
			for i := range 20 {
				w.Header().Set("X-Big-"+strconv.Itoa(i), strings.Repeat("x", 4<<10))
			}
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	c := setup(t, trusting(pool))
	t.Cleanup(c.Close) // closed before the server, which waits for its connections

	tests := []struct {
		path  string
		class hook.ErrorClass
		body  int
		fresh bool // on a new connection
	}{
		{"/", hook.ClassNone, 0, true},
		{"/endless", hook.ClassNone, hook.MaxResponseBody, false},
		{"/abort", hook.ClassReset, 0, false},
		{"/", hook.ClassNone, 0, false},
		{"/many", hook.ClassTooLarge, 0, false},
		{"/big", hook.ClassProtocol, 0, true}, // refused by HPACK before the whole header has arrived
	}
	for _, tt := range tests {
		a, err := c.Send(t.Context(), request(srv.URL+tt.path))
		require.NoError(t, err)
		require.Equal(t, tt.class, a.Class, tt.path)
		require.Len(t, a.ResponseBody, tt.body)
		require.Equal(t, tt.fresh, a.Timings.Connect > 0, tt.path)
		require.Equal(t, srv.Listener.Addr().String(), a.RemoteAddr)
		s := <-got
		require.Equal(t, "HTTP/2.0", s.proto)
		require.EqualValues(t, 14, s.length)
		require.Equal(t, http.Header{
			"Content-Type": {"application/json"}, "Content-Length": {"14"}, "User-Agent": {"Grapnel-Test/1.0"},
		}, s.header)
	}
}
