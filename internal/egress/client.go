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
	// maxResponseHeaders bounds the answer's header section (spec 8).
	maxResponseHeaders = 64 << 10
	// maxInformational bounds the 1xx answers before the real one; each may be as
	// large as maxResponseHeaders.
	maxInformational = 10
	// idleTimeout is shorter than the shortest common keep-alive of receivers
	// (Node and Apache: 5 s), so that it is we who close. The other way round, a
	// sender with a period of just that length would keep meeting a connection
	// that the receiver is closing, and lose a request that cannot be re-sent.
	idleTimeout = 4 * time.Second
	// As many stay open as a burst has in flight, to one host or to several: dialling
	// anew costs more than keeping them for idleTimeout.
	maxIdle            = 2048
	defaultIdlePerHost = 1024
	tlsSessions        = 512
)

// Config configures a Client. The zero value is one that may call the public
// internet only.
type Config struct {
	// Allow opens ranges that are refused by default, like 127.0.0.0/8 for
	// development. An IPv4 prefix also covers the IPv4-mapped form.
	Allow []netip.Prefix
	// UserAgent is sent where a request brings none of its own; default Grapnel/1.0.
	UserAgent string
	// MaxIdlePerHost is how many connections to one host stay open between
	// requests; default 1024.
	MaxIdlePerHost int
	// MaxConnAge is how long connections are used before new ones are made; default
	// 2 minutes.
	MaxConnAge time.Duration
	// Resolver replaces the system's, for tests. It must have PreferGo set: libc
	// reads 0x7f.1 as an address, Go's resolver asks for it as a name.
	Resolver *net.Resolver
	// RootCAs are trusted instead of the system's roots; nil is the system's.
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
	// starved counts sockets to a name server that we had no resources to open.
	// Go's resolver reports such a failure as text alone.
	starved atomic.Uint64
}

// New makes a Client. It fails on an invalid prefix, a negative MaxIdlePerHost
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
		// Spares receivers with little traffic a full handshake each time.
		ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
	}
	if c.pool, err = c.newPool(time.Now()); err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes the connections that no request is using and gives up dials that
// no request waits for. Requests under way go on.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool.close()
}

// dialNameServer is the resolver's way to its servers; they are the operator's
// and not guarded.
func (c *Client) dialNameServer(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil && isExhaustion(err) {
		c.starved.Add(1)
	}
	return nc, err
}
