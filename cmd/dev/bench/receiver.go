package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// marker precedes the number of an event in its data. It is the first member, so that the receiver finds it without
// parsing JSON: on a shared machine, any work of the load slows the product.
const marker = `"data":{"n":`

// endpointPath is the prefix of the endpoints' paths; the endpoint's number follows.
const endpointPath = "/e/"

// hangPath is the path of an endpoint that reads requests and never answers.
const hangPath = "/hang"

// receiver counts the requests that arrive.
type receiver struct {
	// URL is the base URL.
	URL string

	addr    string
	track   *Tracker
	begin   time.Time
	release chan struct{} // closed at the end, to release requests that hang

	mu     sync.Mutex // guards server
	server *http.Server
}

// startReceiver listens on a free port of the loopback interface.
func startReceiver(ctx context.Context, track *Tracker, begin time.Time) (*receiver, error) {
	r := &receiver{track: track, begin: begin, release: make(chan struct{}), addr: "127.0.0.1:0"}
	if err := r.up(ctx); err != nil {
		return nil, err
	}
	r.URL = "http://" + r.addr
	return r, nil
}

// up listens on the same port as before.
func (r *receiver) up(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.addr)
	if err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	r.addr = l.Addr().String()
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	r.mu.Lock()
	r.server = server
	r.mu.Unlock()
	go func() { _ = server.Serve(l) }() // returns when the server is closed; losses show in the counts
	return nil
}

// down stops listening, so that connections are refused. It answers the requests that have arrived first, because the
// product would rightly send an interrupted request again.
func (r *receiver) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server.Shutdown(ctx)
}

// close closes everything, including requests that hang.
func (r *receiver) close() {
	close(r.release)
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.server.Close() // the receiver is shutting down
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	at := time.Since(r.begin)
	if req.URL.Path == hangPath {
		select {
		case <-r.release:
		case <-req.Context().Done():
		}
		return
	}
	endpoint, err := strconv.Atoi(strings.TrimPrefix(req.URL.Path, endpointPath))
	if err != nil {
		http.NotFound(w, req)
		return
	}
	n, ok := eventNumber(body)
	if !ok {
		n = -1 // a request that no event explains
	}
	r.track.Receive(n, endpoint, at)
}

// eventNumber reads the event's number from the body of a request.
func eventNumber(body []byte) (n int, ok bool) {
	_, rest, found := bytes.Cut(body, []byte(marker))
	if !found {
		return 0, false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(string(rest[:digits]))
	return n, err == nil
}

// eventBody returns the body of an event with its number and size bytes of data. If it names a tenant, it is one of a batch.
func eventBody(eventType, tenant string, n, size int) []byte {
	b := make([]byte, 0, size+128)
	b = append(b, `{"type":"`...)
	b = append(b, eventType...)
	b = append(b, `",`...)
	if tenant != "" {
		b = append(append(append(b, `"tenant":"`...), tenant...), `",`...)
	}
	data := len(b) + len(`"data":`)
	b = append(b, marker...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, `,"padding":"`...)
	for len(b)-data < size-len(`"}`) {
		b = append(b, 'x')
	}
	return append(b, `"}}`...)
}
