package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"grapnel/internal/hook"
)

var (
	errDeadline  = errors.New("egress: deadline of the attempt")
	errEmptyBody = errors.New("egress: a request needs a body")
)

// Request is one POST; the domain's word for it.
type Request = hook.Request

// Send makes one request and reports what came of it. URL, StartedAt, Duration,
// Timings, RemoteAddr, RequestHeaders and the result are filled in.
//
// An error means that we could not send or wait: it is the cause of ctx's end,
// or a want of sockets, memory, network or roots on this machine. It never speaks
// of the receiver, and must not use up an attempt. If hook.ErrNotSent is in its chain,
// nothing was sent; otherwise the request may have arrived.
func (c *Client) Send(ctx context.Context, r Request) (hook.Attempt, error) {
	if r.Timeout <= 0 || r.Timeout > hook.MaxTimeout {
		r.Timeout = hook.MaxTimeout
	}
	start := time.Now()
	a := hook.Attempt{URL: r.URL, StartedAt: start.UTC()}
	if len(r.Body) == 0 {
		return a, fmt.Errorf("%w: %w", hook.ErrNotSent, errEmptyBody)
	}
	t := c.newTrace(start, r.Timeout)
	ctx, cancel := context.WithDeadlineCause(ctx, t.deadline, errDeadline)
	defer cancel()
	req, err := c.newRequest(t.context(ctx), r, t)
	if err != nil {
		a.Class, a.Error = hook.ClassOther, textOther
		a.Duration = time.Since(start)
		return a, nil //nolint:nilerror // a URL that does not parse fails the attempt
	}
	a.RequestHeaders = req.Header.Clone() // net/http may still be reading the other one

	pool, err := c.current(start)
	if err != nil {
		return a, fmt.Errorf("%w: %w", hook.ErrNotSent, err)
	}
	resp, err := pool.roundTrip(req, t)
	if err == nil {
		a.StatusCode, a.ResponseHeaders = resp.StatusCode, resp.Header
		a.Class, a.Error = hook.StatusFailure(resp.StatusCode)
		a.RetryAfter = retryAfter(resp, time.Now())
		readBody(resp, &a)
	}
	end := time.Now()
	o := t.outcome(end)
	a.Duration, a.Timings, a.RemoteAddr = end.Sub(start), o.timings, o.remoteAddr
	if err == nil {
		return a, nil
	}
	if o.status != 0 {
		// The status line decides, whatever is wrong with the rest (spec 1).
		a.StatusCode, a.ResponseHeaders = o.status, http.Header{}
		a.Class, a.Error = hook.StatusFailure(o.status)
		return a, nil
	}
	if ours := localFailure(ctx, err, o); ours != nil {
		if !o.connected {
			ours = fmt.Errorf("%w: %w", hook.ErrNotSent, ours)
		}
		return a, ours
	}
	if errors.Is(context.Cause(ctx), errDeadline) {
		a.Class, a.Error = hook.ClassTimeout, textTimeout
	} else {
		a.Class, a.Error = classify(err, o)
	}
	return a, nil
}

func (c *Client) newRequest(ctx context.Context, r Request, t *trace) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	// As webhooks are stored since there is CanonicalURL; older ones are not.
	req.URL.Host, req.URL.RawQuery = canonicalHost(req.URL.Host), escapedQuery(req.URL.RawQuery)
	req.Host = req.URL.Host
	h := make(http.Header, len(r.Header)+2)
	h["User-Agent"] = []string{c.userAgent}
	for name, values := range r.Header {
		switch canonical := http.CanonicalHeaderKey(name); canonical {
		case "Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Keep-Alive",
			"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		case "User-Agent":
			h[canonical] = values
		case "Idempotency-Key", "X-Idempotency-Key":
			// Names keep their case otherwise. So spelt, net/http takes a POST for idempotent and sends it again after
			// the receiver may have read it.
			h[strings.ToLower(name)] = values
		default:
			h[name] = values
		}
	}
	// net/http writes its own; this one is for the log.
	h["Content-Length"] = []string{strconv.Itoa(len(r.Body))}
	req.Header = h
	req.ContentLength = int64(len(r.Body))
	// Exactly this pair net/http knows to be in memory, and then writes headers and
	// body in one go.
	req.Body = io.NopCloser(bytes.NewReader(r.Body))
	req.GetBody = func() (io.ReadCloser, error) {
		if !t.mayResend() {
			return nil, errMaybeReceived
		}
		return io.NopCloser(bytes.NewReader(r.Body)), nil
	}
	return req, nil
}
