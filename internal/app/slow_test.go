package app

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
)

// pipes is a listener without a network, whose connections use simulated time.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// The dependencies of an API, which slow requests never reach.
type (
	noStore      struct{ api.Store }
	noDispatcher struct{ api.Dispatcher }
	noSender     struct{ api.ManualSender }
	noChecks     struct{ api.Destinations }
	noTopics     struct{ api.Topics }
	noChanges    struct{ api.Changes }
)

// serveSlow serves the API, as the product does, and returns a function that connects to it.
func serveSlow(t *testing.T) (dial func() net.Conn) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	handler, err := api.New(api.Deps{
		Store: noStore{}, Dispatcher: noDispatcher{}, Sender: noSender{}, Destinations: noChecks{}, Topics: noTopics{}, Changes: noChanges{},
		Logger: log, Config: api.Config{NoAuth: true},
	})
	require.NoError(t, err)
	server := (&App{options: Options{Logger: log}}).newServer(handler)
	l := pipes{make(chan net.Conn)}
	go func() { _ = server.Serve(problemListener{l}) }() // it ends when the test closes the server
	t.Cleanup(func() {
		close(l.conns)
		require.NoError(t, server.Close())
	})
	return func() net.Conn {
		ours, theirs := net.Pipe()
		l.conns <- theirs
		return ours
	}
}

// drip sends one byte of text per second until the other side closes the connection.
func drip(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
		<-time.After(time.Second)
	}
}

// Spec 7: time is limited. A publisher that sends its headers or its body one byte per
// second is cut off, and its connection is closed.
func TestSlowPublishers(t *testing.T) {
	t.Parallel()
	const post = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
	for name, c := range map[string]struct {
		atOnce string
		slowly byte
		within time.Duration
		answer int // 0 means none: no request was complete
	}{
		"nothing at all":     {"", 0, readHeaderTimeout, 0},
		"a slow header":      {"GET /v1/webhooks HTTP/1.1\r\nHost: x\r\nX-A: ", 'a', readHeaderTimeout, 0},
		"a slow body":        {post, ' ', 10 * time.Second, http.StatusRequestTimeout},
		"a body that stalls": {post + `{"type":`, 0, 10 * time.Second, http.StatusRequestTimeout},
		"slow chunks": {
			"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", '0',
			10 * time.Second, http.StatusRequestTimeout,
		},
		"a slow batch": {
			"POST /v1/events/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n", ' ',
			26 * time.Second, http.StatusRequestTimeout,
		},
		"a slow message": {"POST /topics/a/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n", 'a', 10 * time.Second, http.StatusRequestTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, begin := serveSlow(t)(), time.Now()
				defer conn.Close() // the server closes the connection first
				dripped := make(chan struct{})
				go func() {
					defer close(dripped)
					_, _ = io.WriteString(conn, c.atOnce)
					if c.slowly != 0 {
						drip(conn, strings.Repeat(string(c.slowly), 3600))
					}
				}()
				answer := bufio.NewReader(conn)
				response, err := http.ReadResponse(answer, nil)
				if c.answer == 0 {
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				} else {
					require.NoError(t, err)
					body, err := io.ReadAll(response.Body)
					require.NoError(t, err)
					require.NoError(t, response.Body.Close())
					require.Equal(t, c.answer, response.StatusCode, "%s", body)
					require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"))
					require.True(t, response.Close, "nothing more is read from it")
				}
				_, err = answer.ReadByte()
				require.ErrorIs(t, err, io.EOF, "the connection is closed")
				require.LessOrEqual(t, time.Since(begin), c.within+3*time.Second)
				require.GreaterOrEqual(t, time.Since(begin), c.within)
				<-dripped
			})
		})
	}
}
