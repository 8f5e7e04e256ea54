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
	// floorSenders and floorQueue bound what the floor has under way; a full queue
	// makes publishers wait, as nothing else would.
	floorSenders = 64
	floorQueue   = 1024
)

// Floor is what a machine can do at most: an HTTP server that answers 202 and
// forwards the body to one receiver, and stores nothing, signs nothing, retries
// nothing.
type Floor struct {
	queue    chan []byte
	receiver atomic.Value // string
	client   *http.Client
}

// NewFloor returns the floor's handler. Run forwards what it accepts.
func NewFloor() *Floor {
	return &Floor{
		queue:  make(chan []byte, floorQueue),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floorSenders, DisableCompression: true}, Timeout: 30 * time.Second},
	}
}

// floorReceiver is the path to which the receiver's URL is put.
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

// forward sends what has been accepted, until the context ends.
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

// post sends once: what fails is lost, and counted by the receiver.
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
	_, _ = io.Copy(io.Discard, response.Body) // an answer that breaks has still been given
}

// Serve accepts and forwards until the context ends.
func (f *Floor) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range floorSenders {
		go f.forward(ctx)
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // it is the end
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
