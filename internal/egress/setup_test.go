package egress

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup makes a client that may call loopback.
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

// receiver is a server that a test scripts byte by byte.
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

// read takes one whole request off the connection; nil when there is none.
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

// answering reads one request and then runs the rest of the script.
func answering(then func(r *receiver, c net.Conn)) func(*receiver, net.Conn, int64) {
	return func(r *receiver, c net.Conn, _ int64) {
		if r.read(bufio.NewReader(c)) != nil {
			then(r, c)
		}
	}
}

// saying answers every request on a connection with the same bytes.
func saying(answer string) func(*receiver, net.Conn, int64) {
	return func(r *receiver, c net.Conn, _ int64) {
		for br := bufio.NewReader(c); r.read(br) != nil; {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// drip writes the text again and again, slowly, until the client goes away.
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

// names is a resolver that knows the given names and denies all others; one with
// no addresses never gets an answer.
func names(t testing.TB, known map[string][]string) *net.Resolver {
	t.Helper()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		// Go's resolver would read on for 5 s after the lookup was given up.
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		go func() { // ends with the lookup, whose end the test may not wait for
			defer stop()
			defer server.Close()
			var size [2]byte
			for {
				if _, err := io.ReadFull(server, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(server, query); err != nil {
					return
				}
				if answer := answerDNS(query, known); answer != nil {
					_, _ = server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				}
			}
		}()
		return client, nil
	}}
}

func answerDNS(query []byte, known map[string][]string) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		labels = append(labels, string(query[at+1:at+1+int(query[at])]))
		at += 1 + int(query[at])
	}
	question := query[12 : at+5]
	qtype := query[at+2]
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	addrs, ok := known[strings.Join(labels, ".")]
	switch {
	case !ok:
		out[3] |= 3 // NXDOMAIN
	case len(addrs) == 0:
		return nil
	}
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		if ip.Is4() != (qtype == 1) {
			continue
		}
		out[7]++
		raw := ip.AsSlice()
		out = append(out, 0xc0, 12, 0, qtype, 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
		out = append(out, raw...)
	}
	return out
}
