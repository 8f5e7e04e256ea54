package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxResponseHeaders is the largest header section of an answer, in bytes (spec 8).
	maxResponseHeaders = 64 << 10
	// maxInformational is the most 1xx answers before the final one; each may be as
	// large as maxResponseHeaders.
	maxInformational = 10
	// idleTimeout is shorter than the shortest common keep-alive of receivers
	// (Node and Apache: 5 s), so that the client closes connections, not the receiver. Otherwise a
	// sender with a period of just that length would often use a connection
	// that the receiver is closing, and lose a request that must not be sent again.
	idleTimeout = 4 * time.Second
	// As many connections stay open as a burst has in flight, to one host or to several: dialling
	// again costs more than keeping them for idleTimeout.
	maxIdle            = 2048
	defaultIdlePerHost = 1024
	tlsSessions        = 512
)

// Config configures a Client. With the zero value the client may call only the public
// internet.
type Config struct {
	// Allow lists ranges that may be called although they are refused by default, like 127.0.0.0/8 for
	// development. An IPv4 prefix also covers the IPv4-mapped form.
	Allow []netip.Prefix
	// UserAgent is sent if a request has none of its own; default Grapnel/1.0.
	UserAgent string
	// MaxIdlePerHost is how many connections to one host stay open between
	// requests; default 1024.
	MaxIdlePerHost int
	// MaxConnAge is how long a connection is used before a new one is opened; default
	// 2 minutes.
	MaxConnAge time.Duration
	// Resolver replaces the system's resolver, for tests. It must have PreferGo set: libc
	// reads 0x7f.1 as an address, Go's resolver looks it up as a name.
	Resolver *net.Resolver
	// RootCAs are the trusted roots; nil means those of the system.
	RootCAs *x509.CertPool
}

// Client sends requests to receivers. It is safe for concurrent use; a process
// needs one.
type Client struct {
	dialer      *net.Dialer
	guard       *guard
	userAgent   string
	tls         *tls.Config
	idlePerHost int
	connAge     time.Duration

	mu   sync.Mutex
	pool *pool
	// starved counts sockets to a name server that could not be opened for lack of resources.
	// Go's resolver reports such a failure only as text.
	starved atomic.Uint64
}

// New returns a Client. It fails on an invalid prefix, a negative MaxIdlePerHost
// and a resolver without PreferGo.
func New(cfg Config) (*Client, error) {
	g, err := newGuard(cfg.Allow)
	if err != nil {
		return nil, err
	}
	if cfg.Resolver != nil && !cfg.Resolver.PreferGo {
		return nil, errors.New("egress: the resolver must have PreferGo set")
	}
	if cfg.MaxIdlePerHost < 0 {
		return nil, fmt.Errorf("egress: MaxIdlePerHost %d is negative", cfg.MaxIdlePerHost)
	}
	if cfg.MaxIdlePerHost == 0 {
		cfg.MaxIdlePerHost = defaultIdlePerHost
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "Grapnel/1.0"
	}
	if cfg.MaxConnAge == 0 {
		cfg.MaxConnAge = defaultConnAge
	}
	c := &Client{guard: g, userAgent: cfg.UserAgent, connAge: cfg.MaxConnAge, idlePerHost: cfg.MaxIdlePerHost}
	if cfg.Resolver == nil {
		cfg.Resolver = &net.Resolver{PreferGo: true, Dial: c.dialNameServer}
	}
	c.dialer = &net.Dialer{Control: g.control, Resolver: cfg.Resolver}
	c.tls = &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    cfg.RootCAs,
		// Without it, receivers with little traffic would have a full handshake for each request.
		ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
	}
	if c.pool, err = c.newPool(time.Now()); err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes the unused connections and cancels the dials that
// no request waits for. Requests in progress continue.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool.close()
}

// dialNameServer connects the resolver to its name servers. These are the operator's,
// so the guard does not apply.
func (c *Client) dialNameServer(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil && isExhaustion(err) {
		c.starved.Add(1)
	}
	return nc, err
}
