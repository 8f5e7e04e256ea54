package crash

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Fault is what a Proxy does to its connections.
type Fault int

// The faults.
const (
	// Pass forwards everything.
	Pass Fault = iota
	// Stall holds all bytes, in both directions, until the fault ends.
	Stall
	// Reset closes all connections, existing and new ones.
	Reset
	// HalfOpen forwards the bytes of clients and loses the responses.
	HalfOpen
)

// Faults is the number of faults other than Pass.
const Faults = 3

// Proxy is a listener that forwards connections to an address, and can be told to forward them badly.
type Proxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed when fault changes
	pairs   map[*pair]bool
	closed  bool
}

// pair is a client's connection and the connection to the server.
type pair struct {
	client, server *net.TCPConn
	// lost reports that bytes were lost, so that the pair cannot continue.
	lost bool
}

// NewProxy listens on a loopback port and forwards connections to an address.
func NewProxy(ctx context.Context, to string) (*Proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{listener: l, to: to, changed: make(chan struct{}), pairs: map[*pair]bool{}}
	go p.serve(ctx)
	return p, nil
}

// Addr returns the address on which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set begins a fault, or ends it with Pass. It closes the connections that cannot continue.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	for pair := range p.pairs {
		if f == Reset || f == Pass && pair.lost {
			pair.reset()
		}
	}
}

// Close stops listening and closes all connections.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for pair := range p.pairs {
		pair.reset()
	}
	p.mu.Unlock()
	return p.listener.Close()
}

func (p *Proxy) serve(ctx context.Context) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // the listener was closed
		}
		go p.handle(ctx, conn.(*net.TCPConn))
	}
}

func (p *Proxy) handle(ctx context.Context, client *net.TCPConn) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	server, err := dialer.DialContext(ctx, "tcp", p.to)
	if err != nil {
		_ = client.SetLinger(0) // so that the client gets a reset at once
		_ = client.Close()
		return
	}
	c := &pair{client: client, server: server.(*net.TCPConn)}
	p.mu.Lock()
	p.pairs[c] = true
	if p.closed || p.fault == Reset {
		c.reset()
	}
	p.mu.Unlock()
	var group sync.WaitGroup
	group.Go(func() { p.pump(c, c.client, c.server, false) })
	group.Go(func() { p.pump(c, c.server, c.client, true) })
	group.Wait()
	_ = c.client.Close() // both directions have ended
	_ = c.server.Close()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// pump forwards bytes in one direction until there are no more.
func (p *Proxy) pump(c *pair, from, to *net.TCPConn, answers bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.mayPass(c, from, answers) {
			if _, err := to.Write(buffer[:n]); err != nil {
				c.reset()
				return
			}
		}
		if err != nil {
			if p.mayEnd(c, answers) {
				_ = to.CloseWrite() // the other direction may continue
			} else {
				c.reset()
			}
			return
		}
	}
}

// mayPass waits until bytes may be forwarded, and reports whether to forward them. It drops bytes that were held
// until their sender gave up, because the receiver would get them long after.
func (p *Proxy) mayPass(c *pair, from *net.TCPConn, answers bool) bool {
	held := false
	for {
		p.mu.Lock()
		fault, changed := p.fault, p.changed
		if fault == HalfOpen && answers {
			c.lost = true
		}
		p.mu.Unlock()
		switch fault {
		case Stall:
			held = true
			<-changed
		case HalfOpen:
			return !answers
		case Pass, Reset:
			return !held || !gone(from)
		}
	}
}

// mayEnd waits until the end of a direction may be forwarded, and reports whether to forward it. It is not forwarded
// if bytes were lost.
func (p *Proxy) mayEnd(c *pair, answers bool) bool {
	for {
		p.mu.Lock()
		fault, changed, lost := p.fault, p.changed, c.lost
		p.mu.Unlock()
		if fault != Stall && (fault != HalfOpen || !answers) {
			return !lost
		}
		<-changed
	}
}

// gone reports whether the peer has closed the connection.
func gone(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
	})
	return err != nil || closed
}

// reset closes both connections with a reset.
func (c *pair) reset() {
	for _, conn := range []*net.TCPConn{c.client, c.server} {
		_ = conn.SetLinger(0) // the connection may be closed already
		_ = conn.Close()
	}
}
