package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http2"

	"grapnel/internal/hook"
)

// defaultConnAge is how long connections are used, so that a receiver whose name has
// moved is followed also under steady traffic.
const defaultConnAge = 2 * time.Minute

// pool is one generation of connections. A new one takes its place when it has reached
// its age: net/http has no bound on a connection's age, and one over HTTP/2 can't be
// closed while requests are under way.
type pool struct {
	client *Client
	born   time.Time
	// transport speaks HTTP/1.1 and HTTP/2; http1 is for receivers that refuse the latter.
	transport, http1 *http.Transport
}

// newPool makes an empty pool.
func (c *Client) newPool(now time.Time) (*pool, error) {
	p := &pool{client: c, born: now, transport: c.newTransport(), http1: c.newTransport()}
	p.transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return p.dialTLS(ctx, network, addr, []string{protocolHTTP2, protocolHTTP1})
	}
	p.http1.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return p.dialTLS(ctx, network, addr, []string{protocolHTTP1})
	}
	http1Only(p.http1)
	// Not net/http's own copy of this package: in Go 1.26 that one sends a request
	// again after a PROTOCOL_ERROR too, which says nothing of whether it was
	// processed (golang/go#47635).
	h2, err := http2.ConfigureTransports(p.transport) //nolint:staticcheck // for the reason above
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	// A silent connection is given up, so that not every later request to the host
	// hangs on it, but only after the longest attempt could have timed out: a
	// receiver that does not answer is a timeout, not a reset.
	h2.ReadIdleTimeout, h2.PingTimeout = hook.MaxTimeout/2, hook.MaxTimeout/2 //nolint:staticcheck // goes with that copy
	return p, nil
}

func (c *Client) newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // said aloud: never from the environment, a proxy would dial past the guard
		DialContext:            c.dial,
		TLSClientConfig:        c.tls.Clone(),
		DisableCompression:     true, // no Accept-Encoding, and answers are logged as they came
		MaxIdleConns:           max(maxIdle, c.idlePerHost),
		MaxIdleConnsPerHost:    c.idlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeaders,
	}
}

// current is the pool to use, a new one where the last has reached its age. Requests
// that are under way over the old one go on; its connections are closed as they end.
func (c *Client) current(now time.Time) (*pool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.pool.born) < c.connAge {
		return c.pool, nil
	}
	next, err := c.newPool(now)
	if err != nil {
		return nil, err
	}
	c.pool.close()
	c.pool = next
	return next, nil
}

// close closes the connections that no request is using, and each other one at the end
// of its request.
func (p *pool) close() {
	p.transport.CloseIdleConnections()
	p.http1.CloseIdleConnections()
}

// roundTrip goes past http.Client, which would follow redirects and keep cookies.
// Where the request met only connections that the receiver had closed, and was
// written to none, it is tried on the next; each time there is one less. A receiver
// that refuses HTTP/2 for it (RFC 9113, 7: HTTP_1_1_REQUIRED) has not processed it, and
// gets it over HTTP/1.1.
func (p *pool) roundTrip(req *http.Request, t *trace) (*http.Response, error) {
	transport := p.transport
	for {
		resp, err := transport.RoundTrip(req)
		if err == nil || req.Context().Err() != nil {
			return resp, err
		}
		switch {
		case t.wentStale():
		case transport == p.transport && needsHTTP1(err) && t.mayResend():
			transport = p.http1
		default:
			return resp, err
		}
		req = req.WithContext(req.Context()) // a copy: the body of the other is used up
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
}

func needsHTTP1(err error) bool {
	var stream http2.StreamError
	var away http2.GoAwayError //nolint:staticcheck // goes with the copy of newPool
	return errors.As(err, &stream) && stream.Code == http2.ErrCodeHTTP11Required ||
		errors.As(err, &away) && away.ErrCode == http2.ErrCodeHTTP11Required
}
