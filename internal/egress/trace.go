package egress

import (
	"context"
	"errors"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"

	"grapnel/internal/hook"
)

var (
	// errMaybeReceived stops net/http from sending a request again.
	errMaybeReceived = errors.New("egress: the receiver may have the request")
	errInformational = errors.New("egress: too many informational answers")
)

// traceKey is the context key of an attempt's trace.
type traceKey struct{}

// trace observes one attempt. Its hooks may run in the background, and after the
// attempt's end if a dial outlives the attempt.
type trace struct {
	client   *Client
	start    time.Time
	deadline time.Time
	starved  uint64 // Client.starved at the start

	mu                sync.Mutex
	dns, connect, tls span
	firstByte         time.Time
	dialled           string
	conn              *conn
	received          int64 // conn.received when this attempt took it
	reused            bool
	stale             bool
	http2             bool
	wroteHeaders      bool
	resent            bool
	tlsFailed         bool
	// certificateWanted reports whether the receiver asked for a client certificate.
	certificateWanted bool
	informational     int
}

// span is a part of an attempt. Its end is zero until the part has ended.
type span struct{ start, end time.Time }

func (s span) at(now time.Time) time.Duration {
	switch {
	case s.start.IsZero():
		return 0
	case s.end.IsZero():
		return now.Sub(s.start)
	default:
		return s.end.Sub(s.start)
	}
}

func (c *Client) newTrace(start time.Time, timeout time.Duration) *trace {
	return &trace{
		client: c, start: start, deadline: start.Add(timeout),
		starved: c.starved.Load(),
	}
}

func (t *trace) context(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, traceKey{}, t), &httptrace.ClientTrace{
		GotConn:              t.gotConn,
		WroteHeaders:         t.headersWritten,
		Got1xxResponse:       t.got1xx,
		GotFirstResponseByte: t.gotFirstByte,
	})
}

func (t *trace) begin(s *span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.start.IsZero() { // with several addresses, the first one counts
		s.start = time.Now()
	}
}

func (t *trace) end(s *span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.end = time.Now()
}

func (t *trace) connectStart(addr string) {
	t.begin(&t.connect)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dialled = addr
}

func (t *trace) connectDone(addr string, err error) {
	t.end(&t.connect)
	var blocked *blockedError
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.As(err, &blocked) && t.dialled == addr {
		// Nothing was dialled, and the log must not show the inside address of a name.
		t.dialled, t.connect = "", span{}
	}
}

func (t *trace) tlsDone(err error) {
	t.end(&t.tls)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tlsFailed = err != nil
}

// gotConn runs before anything is written to the connection. If the receiver has closed an idle HTTP/1
// connection, gotConn closes it, too: then nothing
// can be written to it any more, and the attempt can safely use another connection.
func (t *trace) gotConn(info httptrace.GotConnInfo) {
	c, http2 := underlying(info.Conn)
	if c != nil {
		c.take()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn, t.reused, t.http2 = c, info.Reused, http2
	t.wroteHeaders, t.stale = false, false
	if c == nil {
		return
	}
	t.received = c.received.Load()
	c.answer.expect()
	if info.Reused && !http2 && c.stale() {
		t.stale = true
		_ = c.Close() // the connection is broken anyway
	}
}

// wantedCertificate records that the receiver asked for a client certificate.
func (t *trace) wantedCertificate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.certificateWanted = true
}

func (t *trace) headersWritten() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wroteHeaders = true
}

func (t *trace) got1xx(int, textproto.MIMEHeader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.informational++
	if t.informational > maxInformational {
		return errInformational
	}
	return nil
}

func (t *trace) gotFirstByte() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.firstByte.IsZero() {
		t.firstByte = time.Now()
	}
}

// wentStale reports whether the attempt failed on a closed connection before a byte
// was written.
func (t *trace) wentStale() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stale
}

// mayResend reports whether the request may be sent again, when net/http asks for the body a second time.
//
// With HTTP/1 net/http asks only if not one byte of the request was written: requests are
// POSTs, and newRequest ensures that no header makes net/http treat one as
// idempotent.
//
// With HTTP/2 it asks before the headers were written, if the connection is
// unusable, and afterwards if the receiver has declared that it did not process
// the request: by REFUSED_STREAM, or by a GOAWAY that excludes the stream (RFC
// 9113, 8.7 and 6.8). Servers do that in normal operation, such as nginx
// after every 1000 requests, and an at-most-once message should not be lost for
// that. One repetition is enough: from the second one on, http2 would wait between tries,
// but the schedule decides when to wait.
func (t *trace) mayResend() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.http2 || !t.wroteHeaders {
		return true
	}
	if t.resent {
		return false
	}
	// Reset wroteHeaders until the headers are written again: one sending may ask twice, if its first
	// connection is gone.
	t.resent, t.wroteHeaders = true, false
	return true
}

// outcome is the trace's summary of a finished attempt.
type outcome struct {
	timings    hook.Timings
	remoteAddr string
	connected  bool  // a request could be written
	answered   bool  // a byte of the answer arrived
	received   int64 // bytes that arrived over the connection during the attempt
	tlsFailed  bool
	starved    bool // no resources for a look-up
	http2      bool
	// status is the code of an HTTP/1 answer's status line; 0 if there was none.
	status int
	// certificateWanted reports whether the receiver asked for a client certificate.
	certificateWanted bool
}

func (t *trace) outcome(now time.Time) outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := outcome{
		remoteAddr: t.dialled,
		connected:  t.conn != nil && !t.stale,
		answered:   !t.firstByte.IsZero(),
		starved:    t.client.starved.Load() != t.starved,
	}
	o.tlsFailed, o.certificateWanted = t.tlsFailed && !o.connected, t.certificateWanted
	if o.answered {
		o.timings.FirstByte = t.firstByte.Sub(t.start)
	}
	if t.conn != nil {
		o.remoteAddr = t.conn.remote
		o.received = t.conn.received.Load() - t.received
		o.http2 = t.http2
		if !t.http2 && !t.stale {
			o.status = t.conn.answer.status()
		}
	}
	if t.conn == nil || !t.reused {
		o.timings.DNS, o.timings.Connect, o.timings.TLS = t.dns.at(now), t.connect.at(now), t.tls.at(now)
	}
	return o
}
