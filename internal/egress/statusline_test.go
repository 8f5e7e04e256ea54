package egress

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Spec 1: any 2xx status line is success. None of these requests is sent again.
func TestStatusLineDecides(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]string{
		"a line without a colon":              "this is no header\r\nContent-Length: 2\r\n\r\nok",
		"two lengths":                         "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"a NUL in a value":                    "X-A: a\x00b\r\nContent-Length: 2\r\n\r\nok",
		"a list of lengths (RFC 9110, 8.6)":   "Content-Length: 2, 2\r\n\r\nok",
		"a length that is no number":          "Content-Length: two\r\n\r\nok",
		"a negative length":                   "Content-Length: -2\r\n\r\nok",
		"a space before the colon":            "X-A : b\r\nContent-Length: 2\r\n\r\nok",
		"an empty name":                       ": b\r\nContent-Length: 2\r\n\r\nok",
		"a folded first line":                 " folded\r\nContent-Length: 2\r\n\r\nok",
		"a transfer coding that is not known": "Transfer-Encoding: gzip\r\n\r\nok",
		"two transfer codings":                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"nothing more":                        "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\n" + rest
			plain := listen(t, answering(closing(answer)))
			a, err := setup(t).Send(t.Context(), request(plain.url()))
			require.NoError(t, err)
			require.True(t, a.Succeeded(), a.Error)
			require.Equal(t, 201, a.StatusCode)

			cert, roots := certificate(t, func(*x509.Certificate) {})
			secured := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, answering(closing(answer)))
			a, err = setup(t, trusting(roots)).Send(t.Context(), request(secured.tlsURL()))
			require.NoError(t, err)
			require.True(t, a.Succeeded(), a.Error)
		})
	}
}

// The status is the same however the bytes are split.
func TestStatusLineInPieces(t *testing.T) {
	t.Parallel()
	answers := map[string]int{
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\n":                             200,
		"HTTP/1.0 404\n\n":                                            404,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n":        500,
		"HTTP/1.1 103 A\nX: HTTP/1.1 200 OK\n\nHTTP/1.1 299 Hm\n\n":   299,
		"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n": 101,
		"HTTP/1.1 200" + strings.Repeat("x", 100) + "\r\n":            0,
		"220 mail ESMTP\r\nHTTP/1.1 200 OK\r\n":                       0,
		"HTTP/1.1 20 OK\r\n":                                          0,
		"HTTP/1.1 200 OK":                                             0,
	}
	rapid.Check(t, func(t *rapid.T) {
		for answer, status := range answers {
			var s statusLine
			for rest := []byte(answer); len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "n")
				s.feed(rest[:n])
				rest = rest[n:]
			}
			require.Equal(t, status, s.status(), answer)
		}
	})
}
