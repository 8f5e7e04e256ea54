package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

const short = 150 * time.Millisecond

func TestSend(t *testing.T) {
	t.Parallel()
	forbidden := listen(t, saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	t.Cleanup(func() { require.Zero(t, forbidden.conns.Load(), "a redirect was followed") })
	hang := func(r *receiver, _ net.Conn) { <-r.done }
	tests := []struct {
		name    string
		script  func(*receiver, net.Conn, int64)
		timeout time.Duration
		status  int
		class   hook.ErrorClass
		text    string
		body    string
		check   func(*testing.T, hook.Attempt)
	}{
		{
			name:   "200 is success and its body is logged",
			script: saying("HTTP/1.1 200 OK\r\nX-Answer: yes\r\nContent-Length: 2\r\n\r\nok"),
			status: 200, body: "ok",
			check: func(t *testing.T, a hook.Attempt) {
				t.Helper()
				require.Equal(t, "yes", a.ResponseHeaders.Get("X-Answer"))
			},
		},
		{name: "chunked body", script: saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"), status: 200, body: "abcdef"},
		{name: "204 is success", script: saying("HTTP/1.1 204 No Content\r\n\r\n"), status: 204},
		{name: "an odd 2xx is success", script: saying("HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n"), status: 299},
		{
			name:   "a gzip body stays unchanged",
			script: saying("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"),
			status: 200, body: "\x1f\x8b\x08\x00",
			check: func(t *testing.T, a hook.Attempt) {
				t.Helper()
				require.Equal(t, "gzip", a.ResponseHeaders.Get("Content-Encoding"))
			},
		},
		{
			name:   "301 is a failure and not followed",
			script: saying("HTTP/1.1 301 Moved Permanently\r\nLocation: " + forbidden.url() + "\r\nContent-Length: 0\r\n\r\n"),
			status: 301, class: hook.ClassRedirect, text: "HTTP 301 Moved Permanently",
		},
		{
			name:   "307 is a failure and not followed",
			script: saying("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + forbidden.url() + "\r\nContent-Length: 0\r\n\r\n"),
			status: 307, class: hook.ClassRedirect, text: "HTTP 307 Temporary Redirect",
		},
		{name: "410", script: saying("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), status: 410, class: hook.ClassStatus, text: "HTTP 410 Gone"},
		{name: "500", script: saying("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"), status: 500, class: hook.ClassStatus, text: "HTTP 500 Internal Server Error", body: "oops"},
		{
			name:   "503 with seconds",
			script: saying("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"),
			status: 503, class: hook.ClassStatus, text: "HTTP 503 Service Unavailable",
			check: func(t *testing.T, a hook.Attempt) { t.Helper(); require.Equal(t, 2*time.Minute, a.RetryAfter) },
		},
		{
			name:   "503 with a date",
			script: saying("HTTP/1.1 503 Service Unavailable\r\nDate: Mon, 02 Feb 2026 10:00:00 GMT\r\nRetry-After: Mon, 02 Feb 2026 10:01:30 GMT\r\nContent-Length: 0\r\n\r\n"),
			status: 503, class: hook.ClassStatus, text: "HTTP 503 Service Unavailable",
			check: func(t *testing.T, a hook.Attempt) { t.Helper(); require.Equal(t, 90*time.Second, a.RetryAfter) },
		},
		{name: "nothing before the timeout", script: answering(hang), timeout: short, class: hook.ClassTimeout, text: "Connection timeout"},
		{
			name: "headers that drip do not undo success, nor the deadline",
			script: answering(func(r *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				r.drip(c, "X-A: b\r\n")
			}),
			timeout: short, status: 200,
		},
		{
			name: "a status line that stalls is a timeout",
			script: answering(func(r *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK")
				<-r.done
			}),
			timeout: short, class: hook.ClassTimeout, text: "Connection timeout",
		},
		{
			name: "headers that drip after a failure's status line",
			script: answering(func(r *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\n")
				r.drip(c, "X-A: b\r\n")
			}),
			timeout: short, status: 503, class: hook.ClassStatus, text: "HTTP 503 Service Unavailable",
		},
		{
			name: "a body that stalls does not undo success",
			script: answering(func(r *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
				<-r.done
			}),
			timeout: short, status: 200, body: "half",
		},
		{
			name: "a body that drips does not undo success, nor the deadline",
			script: answering(func(r *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
				r.drip(c, "x")
			}),
			timeout: short, status: 200,
			check: func(t *testing.T, a hook.Attempt) {
				t.Helper()
				require.NotEmpty(t, a.ResponseBody)
				require.GreaterOrEqual(t, a.Duration, short)
				require.Less(t, a.Duration, 20*short)
			},
		},
		{
			name: "a body that breaks does not undo success",
			script: answering(func(_ *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken")
			}),
			status: 200, body: "broken",
		},
		{
			name: "a body without end is read up to the limit",
			script: answering(func(_ *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				for junk := strings.Repeat("x", 4096); ; {
					if _, err := io.WriteString(c, junk); err != nil {
						return
					}
				}
			}),
			status: 200, body: strings.Repeat("x", hook.MaxResponseBody),
		},
		{
			name: "reset",
			script: answering(func(_ *receiver, c net.Conn) {
				_ = c.(*net.TCPConn).SetLinger(0)
			}),
			class: hook.ClassReset, text: "Connection reset",
		},
		{name: "closed without an answer", script: answering(func(*receiver, net.Conn) {}), class: hook.ClassReset, text: "Connection reset"},
		{
			name: "closed amid the headers",
			script: answering(func(_ *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Half: ")
			}),
			status: 200,
		},
		{
			name:   "headers over the limit",
			script: saying("HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("x", 64<<10) + "\r\nContent-Length: 0\r\n\r\n"),
			status: 200,
		},
		{
			name:   "headers below the limit",
			script: saying("HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("x", 60<<10) + "\r\nContent-Length: 0\r\n\r\n"),
			status: 200,
		},
		{name: "not HTTP", script: saying("220 mail.example.com ESMTP\r\n"), class: hook.ClassProtocol, text: "Invalid HTTP response: it does not begin with an HTTP status line"},
		{
			name:   "informational answers are passed over",
			script: saying(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 3) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
			status: 200,
		},
		{
			name:   "informational answers without end",
			script: answering(func(r *receiver, c net.Conn) { r.drip(c, "HTTP/1.1 100 Continue\r\n\r\n") }),
			class:  hook.ClassProtocol, text: "Invalid HTTP response: too many informational answers",
		},
		{
			name: "101 is a failure",
			script: answering(func(r *receiver, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
				<-r.done
			}),
			status: 101, class: hook.ClassStatus, text: "HTTP 101 Switching Protocols",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, tt.script)
			req := request(r.url())
			if tt.timeout != 0 {
				req.Timeout = tt.timeout
			}
			a, err := setup(t).Send(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, tt.status, a.StatusCode)
			require.Equal(t, tt.class, a.Class)
			require.Equal(t, tt.text, a.Error)
			require.EqualValues(t, 1, r.requests.Load())
			if tt.body != "" {
				require.Equal(t, tt.body, string(a.ResponseBody))
			}
			require.Equal(t, r.url(), a.URL)
			require.Equal(t, r.listener.Addr().String(), a.RemoteAddr)
			require.Positive(t, a.Duration)
			require.Positive(t, a.Timings.Connect)
			require.WithinDuration(t, time.Now(), a.StartedAt, time.Minute)
			require.Equal(t, a.StatusCode != 0, a.StatusCode != 0 && a.Timings.FirstByte > 0)
			if tt.check != nil {
				tt.check(t, a)
			}
		})
	}
}

func TestSendWithoutConnection(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refused := l.Addr().String()
	require.NoError(t, l.Close())
	c := setup(t, func(cfg *Config) {
		cfg.Resolver = names(map[string][]string{"refused.test": {"127.0.0.1"}, "silent.test": nil})
	})
	_, port, err := net.SplitHostPort(refused)
	require.NoError(t, err)
	tests := []struct {
		name, url string
		class     hook.ErrorClass
		text      string
	}{
		{"refused port", "http://" + refused, hook.ClassRefused, "Connection refused"},
		{"refused port by name", "http://refused.test:" + port, hook.ClassRefused, "Connection refused"},
		{"unknown name", "http://nonexistent.invalid/", hook.ClassDNS, "DNS lookup failed"},
		{"no answer from DNS in time", "http://silent.test/", hook.ClassTimeout, "Connection timeout"},
		{"an address for libc only", "http://0x7f.1/", hook.ClassDNS, "DNS lookup failed"},
		{"no URL", "http://[::1", hook.ClassOther, "Request failed"},
		{"no host", "http:///x", hook.ClassOther, "Request failed"},
		{"another scheme", "ftp://127.0.0.1/", hook.ClassOther, "Request failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := request(tt.url)
			if tt.class == hook.ClassTimeout {
				req.Timeout = short
			}
			a, err := c.Send(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, tt.class, a.Class)
			require.Equal(t, tt.text, a.Error)
			require.Zero(t, a.StatusCode)
			require.Equal(t, tt.url, a.URL)
			require.Positive(t, a.Duration)
		})
	}
}

// A handshake that hangs ends with the attempt, although net/http would continue the
// dial for later requests.
func TestSendHangingHandshake(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	r := listen(t, func(_ *receiver, c net.Conn, _ int64) {
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	})
	c := setup(t)
	req := request(r.tlsURL())
	req.Timeout = short
	a, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, hook.ClassTimeout, a.Class)
	require.Equal(t, "Connection timeout", a.Error)
	require.Positive(t, a.Timings.TLS)
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the connection is still open")
	}
}

// The client's own shutdown is never a failure of the receiver.
func TestSendCancelled(t *testing.T) {
	t.Parallel()
	stopping := errors.New("stopping")

	t.Run("before anything was sent", func(t *testing.T) {
		t.Parallel()
		r := listen(t, saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stopping)
		a, err := setup(t).Send(ctx, request(r.url()))
		require.ErrorIs(t, err, stopping)
		require.ErrorIs(t, err, hook.ErrNotSent)
		require.Equal(t, hook.ClassNone, a.Class)
		require.Zero(t, r.conns.Load())
	})
	t.Run("while waiting for the answer", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		r := listen(t, answering(func(r *receiver, _ net.Conn) {
			cancel(stopping)
			<-r.done
		}))
		_, err := setup(t).Send(ctx, request(r.url()))
		require.Equal(t, stopping, err)
	})
	t.Run("by a deadline of the caller's", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		r := listen(t, answering(func(r *receiver, _ net.Conn) { <-r.done }))
		_, err := setup(t).Send(ctx, request(r.url()))
		require.Equal(t, context.DeadlineExceeded, err)
	})
	t.Run("after the status is an answer all the same", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		c := setup(t)
		r := listen(t, answering(func(r *receiver, conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			<-r.done
		}))
		time.AfterFunc(short, func() { cancel(stopping) })
		a, err := c.Send(ctx, request(r.url()))
		require.NoError(t, err)
		require.Equal(t, 200, a.StatusCode)
		require.True(t, a.Succeeded())
	})
}

func TestSendLocalFailure(t *testing.T) {
	t.Parallel()
	v4 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}
	v6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}
	dial := func(to net.Addr, errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: errno}
	}
	require.Error(t, localFailure(t.Context(), dial(v4, syscall.EMFILE), outcome{}))
	require.Error(t, localFailure(t.Context(), dial(v4, syscall.EADDRNOTAVAIL), outcome{}))
	require.NoError(t, localFailure(t.Context(), dial(v6, syscall.EADDRNOTAVAIL), outcome{}))
	require.NoError(t, localFailure(t.Context(), dial(v4, syscall.ECONNREFUSED), outcome{}))
	require.NoError(t, localFailure(t.Context(), dial(v4, syscall.ENOBUFS), outcome{connected: true}))
	require.Error(t, localFailure(t.Context(), &net.DNSError{}, outcome{starved: true}))
	require.NoError(t, localFailure(t.Context(), &net.DNSError{}, outcome{}))

	class, text := classify(dial(v6, syscall.ENETUNREACH), outcome{})
	require.Equal(t, hook.ClassUnreachable, class)
	require.Equal(t, "Host unreachable", text)
}

func TestSendEmptyBody(t *testing.T) {
	t.Parallel()
	_, err := setup(t).Send(t.Context(), Request{URL: "http://127.0.0.1/"})
	require.ErrorIs(t, err, hook.ErrNotSent)
}
