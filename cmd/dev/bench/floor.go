package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// floorSenders and floorQueue bound the requests in progress. A full queue makes publishers wait; nothing else
	// would.
	floorSenders = 64
	floorQueue   = 1024
)

// Floor shows the most that a machine can do. It is an HTTP server that answers 202 and forwards the body to one
// receiver, and that stores nothing, signs nothing and retries nothing.
type Floor struct {
	queue    chan []byte
	receiver atomic.Value // string
	client   *http.Client
}

// NewFloor returns the floor's handler. Serve forwards the bodies that it accepts.
func NewFloor() *Floor {
	return &Floor{
		queue:  make(chan []byte, floorQueue),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floorSenders, DisableCompression: true}, Timeout: 30 * time.Second},
	}
}

// floorReceiver is the path to which the load sends the receiver's URL.
const floorReceiver = "/receiver"

// ServeHTTP implements http.Handler.
func (f *Floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.URL.Path == floorReceiver {
		f.receiver.Store(string(body))
		return
	}
	select {
	case f.queue <- body:
		w.WriteHeader(http.StatusAccepted)
	case <-r.Context().Done():
	}
}

// forward sends the accepted bodies until the context ends.
func (f *Floor) forward(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case body := <-f.queue:
			f.post(ctx, body)
		}
	}
}

// post sends a body once. A failed request is lost; the receiver's counts show the loss.
func (f *Floor) post(ctx context.Context, body []byte) {
	url, _ := f.receiver.Load().(string)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := f.client.Do(r)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // the status has arrived even if the body breaks off
}

// Serve accepts and forwards until the context ends.
func (f *Floor) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range floorSenders {
		go f.forward(ctx)
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // the floor is shutting down
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
