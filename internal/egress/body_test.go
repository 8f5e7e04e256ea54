package egress

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// The log has the first part of an answer's body, whether that was the whole body, and the length of the whole
// body if it is known.
func TestTruncatedBodies(t *testing.T) {
	t.Parallel()
	const most = hook.MaxResponseBody
	known := func(n int64) *int64 { return &n }
	plain := func(announced, sent int) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", announced, strings.Repeat("x", sent))
	}
	chunked := func(n int, end string) string {
		return fmt.Sprintf("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s", n, strings.Repeat("x", n), end)
	}
	for name, c := range map[string]struct {
		answer    string
		logged    int
		truncated bool
		length    *int64
		stalls    bool
	}{
		"none":                                {answer: plain(0, 0), length: known(0)},
		"no content":                          {answer: "HTTP/1.1 204 No Content\r\n\r\n", length: known(0)},
		"short":                               {answer: plain(2, 2), logged: 2, length: known(2)},
		"as long as is logged":                {answer: plain(most, most), logged: most, length: known(most)},
		"one byte longer":                     {answer: plain(most+1, most+1), logged: most, truncated: true, length: known(most + 1)},
		"broken off":                          {answer: plain(100, 6), logged: 6, truncated: true, length: known(100)},
		"stalls":                              {answer: plain(100, 6), logged: 6, truncated: true, length: known(100), stalls: true},
		"chunks":                              {answer: chunked(6, "0\r\n\r\n"), logged: 6, length: known(6)},
		"chunks, as long as is logged":        {answer: chunked(most, "0\r\n\r\n"), logged: most, length: known(most)},
		"chunks, longer":                      {answer: chunked(most+1, "0\r\n\r\n"), logged: most, truncated: true},
		"chunks, broken off":                  {answer: chunked(6, ""), logged: 6, truncated: true},
		"chunks, stalls where the log ends":   {answer: chunked(most, ""), logged: most, truncated: true, stalls: true},
		"until the connection ends":           {answer: "HTTP/1.1 200 OK\r\n\r\nhello", logged: 5, length: known(5)},
		"until the connection ends, too long": {answer: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", most+1), logged: most, truncated: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := request(listen(t, answering(func(r *receiver, conn net.Conn) {
				_, _ = io.WriteString(conn, c.answer)
				if c.stalls {
					<-r.done
				}
			})).url())
			if c.stalls {
				req.Timeout = short
			}
			a, err := setup(t).Send(t.Context(), req)
			require.NoError(t, err)
			require.NotZero(t, a.StatusCode)
			require.Len(t, a.ResponseBody, c.logged)
			require.Equal(t, c.truncated, a.ResponseTruncated)
			require.Equal(t, c.length, a.ResponseLength)
		})
	}
}

// The same over HTTP/2, where a frame's flag ends a body.
func TestTruncatedBodiesOverHTTP2(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t, func(*x509.Certificate) {})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var size int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &size)
		_ = http.NewResponseController(w).Flush() // without a Content-Length
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := setup(t, trusting(pool))
	for size, truncated := range map[int]bool{0: false, hook.MaxResponseBody: false, hook.MaxResponseBody + 1: true} {
		a, err := client.Send(t.Context(), Request{URL: fmt.Sprintf("%s/%d", server.URL, size), Body: []byte("{}"), Timeout: 10 * time.Second})
		require.NoError(t, err)
		require.Len(t, a.ResponseBody, min(size, hook.MaxResponseBody))
		require.Equal(t, truncated, a.ResponseTruncated, size)
		if truncated {
			require.Nil(t, a.ResponseLength)
		} else {
			require.EqualValues(t, size, *a.ResponseLength)
		}
	}
}
