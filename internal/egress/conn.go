package egress

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection to a receiver. Until a request takes it, it has the
// deadline of the attempt that dialled it, which thereby limits the TLS handshake.
type conn struct {
	net.Conn
	raw      syscall.RawConn
	remote   string
	armed    atomic.Bool
	received atomic.Int64
	// answer reads the status line of an HTTP/1 answer as it arrives.
	answer statusLine
	// sealed reports whether the bytes are encrypted by TLS; then tlsConn reads the status line.
	sealed bool
}

func newConn(nc net.Conn, deadline time.Time) *conn {
	c := &conn{Conn: nc, remote: nc.RemoteAddr().String()}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	// An error means that the connection is broken; its first use reports that.
	_ = nc.SetDeadline(deadline)
	c.armed.Store(true)
	return c
}

// Read counts the bytes that arrive, because net/http reports a header section over its limit
// only as text.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	if !c.sealed {
		c.answer.feed(p[:n])
	}
	return n, err
}

// tlsConn is an HTTP/1 connection over TLS.
type tlsConn struct {
	*tls.Conn
	raw *conn
}

func (c *tlsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.raw.answer.feed(p[:n])
	return n, err
}

// take gives the connection to a request, whose context limits it from now on.
func (c *conn) take() {
	if c.armed.CompareAndSwap(true, false) {
		_ = c.SetDeadline(time.Time{}) // as in newConn
	}
}

// stale reports whether an idle HTTP/1 connection cannot be used again: the receiver
// has closed it, or has sent unexpected bytes.
func (c *conn) stale() bool {
	if c.raw == nil {
		return false
	}
	readable := false
	// Control, unlike Read, does not wait for the read that net/http always has
	// pending on an idle connection.
	err := c.raw.Control(func(fd uintptr) { readable = hasInput(fd) })
	return err != nil || readable
}

// underlying returns the conn beneath nc, and reports whether it carries HTTP/2.
func underlying(nc net.Conn) (c *conn, http2 bool) {
	switch nc := nc.(type) {
	case *conn:
		return nc, false
	case *tlsConn:
		return nc.raw, false
	case *tls.Conn: // only HTTP/2 connections: see dialTLS
		c, _ = nc.NetConn().(*conn)
		return c, true
	}
	return nil, false
}
