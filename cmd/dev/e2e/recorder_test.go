package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recorded is a request as a receiver received it.
type recorded struct {
	At     time.Time
	Header http.Header
	Body   []byte
}

// recorder is a receiver that records requests byte for byte. It answers each with the next handler of the script,
// and then always with the last; handlers may read the body again.
type recorder struct {
	URL    string
	mu     sync.Mutex
	script []http.HandlerFunc
	got    []recorded
}

func newRecorder(t testing.TB, script ...http.HandlerFunc) *recorder {
	t.Helper()
	return newRecorderAt(t, "127.0.0.1:0", script...)
}

func newRecorderAt(t testing.TB, addr string, script ...http.HandlerFunc) *recorder {
	t.Helper()
	r := &recorder{script: script}
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(r)
	require.NoError(t, server.Listener.Close())
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// ServeHTTP implements http.Handler.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender closed the connection: not a complete request
	}
	r.mu.Lock()
	r.got = append(r.got, recorded{At: time.Now(), Header: req.Header.Clone(), Body: body})
	answer := status(http.StatusOK)
	if len(r.script) > 0 {
		answer = r.script[min(len(r.got), len(r.script))-1]
	}
	r.mu.Unlock()
	req.Body = io.NopCloser(bytes.NewReader(body))
	answer(w, req)
}

func (r *recorder) requests() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]recorded(nil), r.got...)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hang gives no answer until the sender gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
