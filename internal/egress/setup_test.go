package egress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"grapnel/internal/egress/egresstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup returns a client that may call loopback addresses.
func setup(t testing.TB, options ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		Allow:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		UserAgent: "Grapnel-Test/1.0",
	}
	for _, option := range options {
		option(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func request(url string) Request {
	return Request{
		URL:     url,
		Header:  http.Header{"Content-Type": {"application/json"}},
		Body:    []byte(`{"id":"evt_1"}`),
		Timeout: 10 * time.Second,
	}
}

// receiver is a server whose script writes each byte.
type receiver struct {
	listener net.Listener
	requests atomic.Int64
	conns    atomic.Int64
	done     chan struct{} // closed when the test ends
}

func (r *receiver) url() string { return "http://" + r.listener.Addr().String() + "/hook" }

// listen serves every connection with the script; n counts them from 1.
func listen(t testing.TB, script func(r *receiver, c net.Conn, n int64)) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serve(t, l, script)
}

func serve(t testing.TB, l net.Listener, script func(r *receiver, c net.Conn, n int64)) *receiver {
	t.Helper()
	r := &receiver{listener: l, done: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := r.conns.Add(1)
			wg.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(t.Context(), func() { _ = c.Close() })
				defer stop()
				script(r, c, n)
			})
		}
	})
	t.Cleanup(func() {
		close(r.done)
		_ = l.Close()
		wg.Wait()
	})
	return r
}

// read reads one whole request from the connection; nil if there is none.
func (r *receiver) read(br *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil
	}
	if _, err := io.ReadAll(req.Body); err != nil {
		return nil
	}
	r.requests.Add(1)
	return req
}

// answering returns a script that reads one request and then runs then.
func answering(then func(r *receiver, c net.Conn)) func(*receiver, net.Conn, int64) {
	return func(r *receiver, c net.Conn, _ int64) {
		if r.read(bufio.NewReader(c)) != nil {
			then(r, c)
		}
	}
}

// saying returns a script that answers every request on a connection with the same bytes.
func saying(answer string) func(*receiver, net.Conn, int64) {
	return func(r *receiver, c net.Conn, _ int64) {
		for br := bufio.NewReader(c); r.read(br) != nil; {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// drip writes the text again and again, slowly, until the client closes the connection.
func (r *receiver) drip(c net.Conn, text string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.done:
			return
		}
	}
}

// names returns a resolver for the given names. Other names do not exist; a name without
// addresses never gets an answer.
func names(known map[string][]string) *net.Resolver {
	answers := make(map[string][][]string, len(known))
	for name, addrs := range known {
		answers[name] = [][]string{addrs}
	}
	return egresstest.NewNameServer(answers).Resolver()
}

// closing returns a script that writes an answer and closes the connection.
func closing(answer string) func(*receiver, net.Conn) {
	return func(_ *receiver, c net.Conn) { _, _ = io.WriteString(c, answer) }
}
