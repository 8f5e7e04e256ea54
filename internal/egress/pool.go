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

// defaultConnAge is how long connections are used. It is limited so that requests follow a name that
// gets a new address, also under steady traffic.
const defaultConnAge = 2 * time.Minute

// pool is one generation of connections. A new pool replaces it when it has reached
// its age: net/http has no limit for a connection's age, and an HTTP/2 connection cannot be
// closed while requests are in progress.
type pool struct {
	client *Client
	born   time.Time
	// transport speaks HTTP/1.1 and HTTP/2; http1 is for receivers that refuse HTTP/2.
	transport, http1 *http.Transport
}

// newPool returns an empty pool.
func (c *Client) newPool(now time.Time) (*pool, error) {
	p := &pool{client: c, born: now, transport: c.newTransport(), http1: c.newTransport()}
	p.transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return p.dialTLS(ctx, network, addr, []string{protocolHTTP2, protocolHTTP1})
	}
	p.http1.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return p.dialTLS(ctx, network, addr, []string{protocolHTTP1})
	}
	http1Only(p.http1)
	// Do not use net/http's own copy of this package: in Go 1.26 the copy sends a request
	// again after a PROTOCOL_ERROR too, although the receiver may have
	// processed it (golang/go#47635).
	h2, err := http2.ConfigureTransports(p.transport) //nolint:staticcheck // for the reason above
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	// A silent connection is closed, so that later requests to the host do not
	// hang on it. But it is closed only after the longest attempt would have timed out: a
	// receiver that does not answer must be a timeout, not a reset.
	h2.ReadIdleTimeout, h2.PingTimeout = hook.MaxTimeout/2, hook.MaxTimeout/2 //nolint:staticcheck // see above
	return p, nil
}

func (c *Client) newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // explicitly: a proxy from the environment would dial past the guard
		DialContext:            c.dial,
		TLSClientConfig:        c.tls.Clone(),
		DisableCompression:     true, // no Accept-Encoding, and answers are logged unchanged
		MaxIdleConns:           max(maxIdle, c.idlePerHost),
		MaxIdleConnsPerHost:    c.idlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeaders,
	}
}

// current returns the pool to use. It is a new one if the last has reached its age. Requests
// in progress over the old pool continue; its connections are closed as they end.
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

// close closes the unused connections, and each other connection at the end
// of its request.
func (p *pool) close() {
	p.transport.CloseIdleConnections()
	p.http1.CloseIdleConnections()
}

// roundTrip sends a request without http.Client, which would follow redirects and keep cookies.
// If the receiver had closed the connection and nothing was written to it, roundTrip tries the next
// connection; each time there is one less. A receiver
// that refuses HTTP/2 for the request (RFC 9113, 7: HTTP_1_1_REQUIRED) has not processed it, and
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
		req = req.WithContext(req.Context()) // a copy with a new body, because the old body has been read
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
}

func needsHTTP1(err error) bool {
	var stream http2.StreamError
	var goAway http2.GoAwayError //nolint:staticcheck // see newPool
	return errors.As(err, &stream) && stream.Code == http2.ErrCodeHTTP11Required ||
		errors.As(err, &goAway) && goAway.ErrCode == http2.ErrCodeHTTP11Required
}
