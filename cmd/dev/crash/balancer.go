package crash

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"grapnel/internal/wait"
)

// Balancer sends requests to one of several APIs, as a simple load balancer does: to the APIs whose /readyz succeeds,
// in turn. It tries another API only if a connection is refused, because the request then certainly had no effect.
type Balancer struct {
	urls  []string
	key   string
	http  *http.Client
	turn  atomic.Uint64
	mu    sync.Mutex
	ready map[string]bool
}

// errRefused reports that no API accepted a connection, so the request had no effect.
var errRefused = errors.New("no API takes connections")

const (
	// readyEvery is the interval of the readiness checks. It is well below the time for which a stopping API still
	// takes requests.
	readyEvery = 100 * time.Millisecond
	// answerTime is how long a client waits for a response.
	answerTime = 15 * time.Second
)

// NewBalancer returns a balancer. Run keeps the readiness up to date.
func NewBalancer(urls []string, key string) *Balancer {
	b := &Balancer{urls: urls, key: key, ready: map[string]bool{}, http: &http.Client{
		Timeout: answerTime, Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	}}
	for _, url := range urls {
		b.ready[url] = true
	}
	return b
}

// Only returns a balancer for some of the APIs, ready or not.
func (b *Balancer) Only(urls ...string) *Balancer {
	return &Balancer{urls: urls, key: b.key, http: b.http}
}

// But returns a balancer for all APIs but one.
func (b *Balancer) But(url string) *Balancer {
	return b.Only(slices.DeleteFunc(slices.Clone(b.urls), func(other string) bool { return other == url })...)
}

// Run polls the APIs' readiness until ctx ends.
func (b *Balancer) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, url := range b.urls {
		group.Go(func() {
			for ctx.Err() == nil {
				ok := b.isReady(ctx, url)
				b.mu.Lock()
				b.ready[url] = ok
				b.mu.Unlock()
				_ = wait.For(ctx, readyEvery) // the loop checks ctx
			}
		})
	}
	group.Wait()
	b.http.CloseIdleConnections()
}

func (b *Balancer) isReady(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := b.http.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

// order returns the APIs in the order in which to try them: the ready ones in turn, then the others, which may be
// ready again.
func (b *Balancer) order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	turn := int(b.turn.Add(1) % uint64(len(b.urls))) //nolint:gosec // small
	var ready, others []string
	for i := range b.urls {
		url := b.urls[(i+turn)%len(b.urls)]
		if b.ready[url] {
			ready = append(ready, url)
		} else {
			others = append(others, url)
		}
	}
	return append(ready, others...)
}

// request is a request to an API.
type request struct {
	method, path, contentType, key string
	body                           []byte
}

// Send makes a request and returns its status and body. The error is errRefused if the request certainly had no
// effect.
func (b *Balancer) Send(ctx context.Context, r request) (status int, answer []byte, err error) {
	for _, url := range b.order() {
		status, answer, err = b.sendTo(ctx, url, r)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return status, answer, err
		}
	}
	return 0, nil, errors.Join(errRefused, err)
}

func (b *Balancer) sendTo(ctx context.Context, url string, r request) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return 0, nil, err
	}
	// Without GetBody the transport cannot repeat a request on its own.
	req.GetBody = nil
	req.Header.Set("Authorization", "Bearer "+b.key)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	response, err := b.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}
