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

// Request is one POST.
type Request = hook.Request

// Send sends one request and returns the attempt. It fills in URL, StartedAt, Duration,
// Timings, RemoteAddr, RequestHeaders and the result.
//
// An error means that this machine could not send the request or await the answer: it is the cause of ctx's end,
// or a lack of sockets, memory, network or roots. The receiver never causes an
// error, so an error must not use up an attempt. If the error wraps hook.ErrNotSent,
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
		a.Class, a.Error = hook.ClassOther, hook.TextOther
		a.Duration = time.Since(start)
		return a, nil //nolint:nilerror // a URL that does not parse fails the attempt
	}
	a.RequestHeaders = req.Header.Clone() // a copy, because net/http may still read req.Header

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
		// The status line decides, even if the rest of the answer is invalid (spec 1).
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
		a.Class, a.Error = hook.ClassTimeout, hook.TextTimeout
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
	// Webhooks from before CanonicalURL existed are stored without it.
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
			// Other names keep their case. With this name in canonical case, net/http treats a POST as idempotent
			// and sends it again although the receiver may have read it.
			h[strings.ToLower(name)] = values
		default:
			h[name] = values
		}
	}
	// net/http writes a Content-Length of its own; this one is for the log.
	h["Content-Length"] = []string{strconv.Itoa(len(r.Body))}
	req.Header = h
	req.ContentLength = int64(len(r.Body))
	// net/http recognizes exactly this pair of types as a body in memory, and then writes headers and
	// body in one call.
	req.Body = io.NopCloser(bytes.NewReader(r.Body))
	req.GetBody = func() (io.ReadCloser, error) {
		if !t.mayResend() {
			return nil, errMaybeReceived
		}
		return io.NopCloser(bytes.NewReader(r.Body)), nil
	}
	return req, nil
}
