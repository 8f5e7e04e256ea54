package egress

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

const noContent = "HTTP/1.1 204 No Content\r\n\r\n"

func TestSendReusesConnections(t *testing.T) {
	t.Parallel()
	r := listen(t, saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	c := setup(t)
	for i := range 10 {
		a, err := c.Send(t.Context(), request(r.url()))
		require.NoError(t, err)
		require.True(t, a.Succeeded())
		require.Equal(t, i == 0, a.Timings.Connect > 0)
		require.Equal(t, r.listener.Addr().String(), a.RemoteAddr)
	}
	require.EqualValues(t, 1, r.conns.Load())
}

// The deadline of the attempt that dialled a connection does not apply to later attempts.
func TestSendKeptConnectionForgetsItsFirstDeadline(t *testing.T) {
	t.Parallel()
	r := listen(t, func(r *receiver, c net.Conn, _ int64) {
		br := bufio.NewReader(c)
		for r.read(br) != nil {
			if r.requests.Load() == 2 {
				select {
				case <-time.After(2 * short):
				case <-r.done:
				}
			}
			_, _ = io.WriteString(c, noContent)
		}
	})
	c := setup(t)
	req := request(r.url())
	req.Timeout = short
	a, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.True(t, a.Succeeded(), a.Error)
	a, err = c.Send(t.Context(), request(r.url()))
	require.NoError(t, err)
	require.True(t, a.Succeeded(), a.Error)
	require.EqualValues(t, 1, r.conns.Load())
}

// A connection that the receiver closed after its answer does not make a delivery fail, whenever the client notices
// the close.
func TestSendAfterKeptConnectionWasClosed(t *testing.T) {
	t.Parallel()
	const rounds = 100
	cert, pool := certificate(t, func(*x509.Certificate) {})
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			closed := make(chan struct{}, 1)
			script := func(r *receiver, c net.Conn, _ int64) {
				if r.read(bufio.NewReader(c)) == nil {
					return
				}
				_, _ = io.WriteString(c, noContent)
				_ = c.Close()
				closed <- struct{}{}
			}
			r, url := (*receiver)(nil), ""
			if scheme == "http" {
				r = listen(t, script)
				url = r.url()
			} else {
				r = listenTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, script)
				url = r.tlsURL()
			}
			c := setup(t, trusting(pool))
			for range rounds {
				a, err := c.Send(t.Context(), request(url))
				require.NoError(t, err)
				require.True(t, a.Succeeded(), a.Error)
				<-closed
			}
			require.EqualValues(t, rounds, r.requests.Load())
		})
	}
}

// Many kept connections are closed at once, as when a receiver restarts.
func TestSendAfterAllKeptConnectionsWereClosed(t *testing.T) {
	t.Parallel()
	const n = 16
	var arrived, closed sync.WaitGroup
	arrived.Add(n)
	closed.Add(n)
	restart := make(chan struct{})
	r := listen(t, func(r *receiver, c net.Conn, i int64) {
		if r.read(bufio.NewReader(c)) == nil {
			return
		}
		if i <= n {
			arrived.Done()
			arrived.Wait() // so that each request gets its own connection
		}
		_, _ = io.WriteString(c, noContent)
		if i <= n {
			<-restart
			_ = c.Close()
			closed.Done()
		}
	})
	c := setup(t)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := c.Send(t.Context(), request(r.url())); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(restart)
	closed.Wait()
	a, err := c.Send(t.Context(), request(r.url()))
	require.NoError(t, err)
	require.True(t, a.Succeeded(), a.Error)
	require.EqualValues(t, n+1, r.requests.Load())
}

// A request that the receiver has read is never sent again, not even on a kept connection or with a header that
// makes net/http treat a request as idempotent.
func TestSendNeverTwiceOnHTTP1(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"X-Plain", "Idempotency-Key", "X-Idempotency-Key"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, func(r *receiver, c net.Conn, _ int64) {
				br := bufio.NewReader(c)
				if r.read(br) == nil {
					return
				}
				_, _ = io.WriteString(c, noContent)
				r.read(br)
			})
			c := setup(t)
			req := request(r.url())
			req.Header.Set(name, "k")
			a, err := c.Send(t.Context(), req)
			require.NoError(t, err)
			require.True(t, a.Succeeded())

			a, err = c.Send(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, hook.ClassReset, a.Class)
			require.Equal(t, "Connection reset", a.Error)
			require.EqualValues(t, 2, r.requests.Load())
			require.EqualValues(t, 1, r.conns.Load())
		})
	}
}

// The HTTP/2 frames that these tests need.
const (
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	frameGoAway   = 0x7

	codeProtocol = 0x1
	codeRefused  = 0x7
)

func writeFrame(w io.Writer, kind, flags byte, stream uint32, payload ...byte) {
	n := len(payload)
	frame := append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, binary.BigEndian.AppendUint32(nil, stream)...)
	_, _ = w.Write(append(frame, payload...))
}

// http2Script speaks just enough HTTP/2 to call onRequest for every request; n
// counts the requests of all connections. onRequest returns false to end the connection.
func http2Script(onRequest func(c net.Conn, stream uint32, n int64) bool) func(*receiver, net.Conn, int64) {
	return func(r *receiver, c net.Conn, _ int64) {
		br := bufio.NewReader(c)
		if _, err := io.ReadFull(br, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		writeFrame(c, frameSettings, 0, 0)
		for {
			var head [9]byte
			if _, err := io.ReadFull(br, head[:]); err != nil {
				return
			}
			size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
			if _, err := io.ReadFull(br, make([]byte, size)); err != nil {
				return
			}
			// The end of a stream (flag 1) ends the request's body.
			if head[3] <= frameHeaders && head[4]&1 != 0 {
				if !onRequest(c, binary.BigEndian.Uint32(head[5:]), r.requests.Add(1)) {
					return
				}
			}
		}
	}
}

func TestSendAgainOnHTTP2(t *testing.T) {
	t.Parallel()
	answer := func(c net.Conn, stream uint32) bool {
		writeFrame(c, frameHeaders, 0x5, stream, 0x89) // HPACK for :status 204; end of headers and stream
		return true
	}
	reset := func(c net.Conn, stream uint32, code byte) bool {
		writeFrame(c, frameReset, 0, stream, 0, 0, 0, code)
		return true
	}
	tests := []struct {
		name     string
		script   func(c net.Conn, stream uint32, n int64) bool
		class    hook.ErrorClass
		requests int64
	}{
		{"an answer", func(c net.Conn, stream uint32, _ int64) bool { return answer(c, stream) }, hook.ClassNone, 1},
		{"refused, then taken: the receiver vouches that it did nothing", func(c net.Conn, stream uint32, n int64) bool {
			if n == 1 {
				return reset(c, stream, codeRefused)
			}
			return answer(c, stream)
		}, hook.ClassNone, 2},
		{"refused each time: one more and no waiting", func(c net.Conn, stream uint32, _ int64) bool {
			return reset(c, stream, codeRefused)
		}, hook.ClassReset, 2},
		{"gone away before the stream, then taken", func(c net.Conn, stream uint32, n int64) bool {
			if n == 1 {
				writeFrame(c, frameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
				return true
			}
			return answer(c, stream)
		}, hook.ClassNone, 2},
		{"gone away after the stream", func(c net.Conn, stream uint32, _ int64) bool {
			writeFrame(c, frameGoAway, 0, 0, 0, 0, 0, byte(stream), 0, 0, 0, 0)
			return false
		}, hook.ClassReset, 1},
		{"a protocol error vouches for nothing", func(c net.Conn, stream uint32, _ int64) bool {
			return reset(c, stream, codeProtocol)
		}, hook.ClassReset, 1},
		{"closed without an answer", func(net.Conn, uint32, int64) bool { return false }, hook.ClassReset, 1},
	}
	cert, pool := certificate(t, func(*x509.Certificate) {})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}, http2Script(tt.script))
			a, err := setup(t, trusting(pool)).Send(t.Context(), request(r.tlsURL()))
			require.NoError(t, err)
			require.Equal(t, tt.class, a.Class, a.Error)
			require.Equal(t, tt.requests, r.requests.Load())
			if tt.class == hook.ClassReset {
				require.Equal(t, "Connection reset", a.Error)
			}
		})
	}
}
