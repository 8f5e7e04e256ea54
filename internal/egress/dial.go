package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"grapnel/internal/hook"
)

// Delays of Happy Eyeballs (RFC 8305, 3 and 5).
const (
	// resolutionDelay is how long a name's IPv4 addresses wait for its IPv6 addresses: a
	// lost packet of one question must not delay the answer to the other.
	resolutionDelay = 50 * time.Millisecond
	// attemptDelay is how long an address is tried alone before the next address is tried, too.
	attemptDelay = 250 * time.Millisecond
)

// dial opens a guarded connection within the deadline of its attempt.
// net/http detaches a dial from its request, so that a later request may use
// the connection; without the deadline, dials to a dead host would outlive their
// attempts and accumulate.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	t, _ := ctx.Value(traceKey{}).(*trace)
	deadline := time.Now().Add(hook.MaxTimeout)
	if t != nil {
		deadline = t.deadline
	}
	// Without this, the net package would trace each look-up and each address separately.
	ctx, cancel := context.WithDeadline(untraced{ctx}, deadline)
	defer cancel()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := dialling{client: c, trace: t, network: network, port: port}
	var nc net.Conn
	if literal, failed := netip.ParseAddr(host); failed == nil {
		nc, err = d.connect(ctx, literal) //nolint:contextcheck // untraced inherits everything except values
	} else {
		nc, err = d.connectName(ctx, host) //nolint:contextcheck // untraced inherits everything except values
	}
	if err != nil {
		return nil, err
	}
	return newConn(nc, deadline), nil
}

// untraced is a context without its values, which include httptrace's hooks.
type untraced struct{ context.Context }

func (untraced) Value(any) any { return nil }

// dialling is one connection that is being opened.
type dialling struct {
	client        *Client
	trace         *trace
	network, port string
}

// connect connects to one address.
func (d *dialling) connect(ctx context.Context, addr netip.Addr) (net.Conn, error) {
	target := net.JoinHostPort(addr.String(), d.port)
	if d.trace != nil {
		d.trace.connectStart(target)
	}
	nc, err := d.client.dialer.DialContext(ctx, d.network, target)
	if d.trace != nil {
		d.trace.connectDone(target, err)
	}
	return nc, err
}

type resolved struct {
	addrs []netip.Addr
	err   error
	v4    bool
}

type connected struct {
	conn net.Conn
	err  error
}

// connectName resolves a name, each family separately, and connects to the first address
// that answers. The error is that of the first address, or of the look-up.
func (d *dialling) connectName(ctx context.Context, host string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.trace != nil {
		d.trace.begin(&d.trace.dns)
	}
	answers := make(chan resolved, 2)
	for _, family := range []string{"ip6", "ip4"} {
		go func() {
			addrs, err := d.client.lookUp(ctx, family, host)
			answers <- resolved{addrs, err, family == "ip4"}
		}()
	}
	r := race{dialling: d, conns: make(chan connected), questions: 2}
	defer r.close()
	for {
		if nc, err, over := r.next(ctx, answers); over {
			return nc, err
		}
	}
}

// lookUp resolves a name's addresses of a family. IPv4 addresses in IPv6 notation
// (::ffff:192.0.2.1) belong to no family for the resolver: they are looked up without one, so
// that the guard checks them.
func (c *Client) lookUp(ctx context.Context, family, host string) ([]netip.Addr, error) {
	addrs, err := c.dialer.Resolver.LookupNetIP(ctx, family, host)
	var unsuitable *net.AddrError
	if errors.As(err, &unsuitable) && family == "ip6" {
		return c.dialer.Resolver.LookupNetIP(ctx, "ip", host)
	}
	return addrs, err
}

// race is the state of connecting to a name's addresses.
type race struct {
	*dialling
	// queue has the addresses that have not been tried, IPv6 and IPv4 in turn.
	queue []netip.Addr
	// questions is the number of look-ups in progress, attempts that of connections.
	questions, attempts int
	conns               chan connected
	// ready reports whether addresses may be tried: there are IPv6 addresses, or resolutionDelay is
	// over.
	ready bool
	// wait fires when the race must continue without another event.
	wait <-chan time.Time
	// dialErr is the error of the first address that failed, lookErr that of the resolver.
	dialErr, lookErr error
	// resolved reports whether the look-up's span has ended.
	resolved bool
}

// next tries an address if it is time to, and waits for the next event.
func (r *race) next(ctx context.Context, answers <-chan resolved) (nc net.Conn, err error, over bool) {
	if r.wait == nil && r.ready {
		r.begin(ctx)
	}
	if r.questions == 0 && r.attempts == 0 && len(r.queue) == 0 {
		return nil, r.failure(), true
	}
	select {
	case a := <-answers:
		r.take(a)
	case <-r.wait:
		r.wait, r.ready = nil, true
	case c := <-r.conns:
		r.attempts--
		if c.err == nil {
			return c.conn, nil, true
		}
		if r.dialErr == nil {
			r.dialErr = c.err
		}
		r.wait = nil // try the next address at once
	case <-ctx.Done():
		return nil, ctx.Err(), true
	}
	return nil, nil, false
}

// take processes an answer of the resolver.
func (r *race) take(a resolved) {
	r.questions--
	if a.err != nil && (r.lookErr == nil || a.v4) {
		r.lookErr = a.err
	}
	if a.v4 {
		r.queue = inTurn(r.queue, a.addrs)
	} else {
		r.queue = inTurn(a.addrs, r.queue)
	}
	switch {
	case len(a.addrs) == 0:
		if r.questions == 0 {
			r.wait, r.ready = nil, true
		}
	case !a.v4 || r.questions == 0:
		if !r.ready {
			r.wait = nil
		}
		r.ready = true
	case !r.ready && r.wait == nil:
		r.wait = time.After(resolutionDelay)
	}
}

// inTurn merges two lists: one address of each in turn, then the rest of the longer list.
func inTurn(a, b []netip.Addr) []netip.Addr {
	list := make([]netip.Addr, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		list = append(append(list, a[min(i, len(a)):min(i+1, len(a))]...), b[min(i, len(b)):min(i+1, len(b))]...)
	}
	return list
}

// begin starts a connection to the next address.
func (r *race) begin(ctx context.Context) {
	if len(r.queue) == 0 {
		return
	}
	r.lookedUp()
	addr := r.queue[0]
	r.queue = r.queue[1:]
	r.attempts++
	go func() {
		nc, err := r.connect(ctx, addr)
		r.conns <- connected{nc, err}
	}()
	r.wait = time.After(attemptDelay)
}

// close abandons the connections in progress, because ctx has ended or one has succeeded.
func (r *race) close() {
	r.lookedUp()
	if n := r.attempts; n > 0 {
		go func() {
			for range n {
				if c := <-r.conns; c.conn != nil {
					_ = c.conn.Close() // nothing was sent over it
				}
			}
		}()
	}
}

// lookedUp ends the look-up's span, once.
func (r *race) lookedUp() {
	if r.trace != nil && !r.resolved {
		r.trace.end(&r.trace.dns)
	}
	r.resolved = true
}

func (r *race) failure() error {
	if r.dialErr != nil {
		return r.dialErr
	}
	return r.lookErr
}
