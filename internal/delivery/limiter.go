package delivery

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"grapnel/internal/hook"
)

// The limits of one webhook in one process (spec 9).
const (
	// maxInFlight is the number of requests to a webhook that may be in flight.
	maxInFlight = 64
	// tripAfter is the number of unavailable attempts in a row after which the breaker trips.
	// It is above the five attempts of one delivery, which keeps its schedule if it is the
	// first one to fail.
	tripAfter = 10
	// tripMemory is how long the limiter itself stops requests after a trip: deliveries that
	// were loaded before the store knew of the trip would still be sent.
	tripMemory = 2 * time.Second
	// endpointIdle is how long an unused endpoint with a rate limit is kept.
	endpointIdle = time.Minute
	// maxInline is the number of local activities that send at once: a third of a worker's
	// places for workflow tasks.
	maxInline = 64
	// maxInlineInFlight is the number of requests to one webhook in flight above which its
	// events get no inline attempts: an endpoint that has just begun to hang holds no more
	// than that of the places above.
	maxInlineInFlight = 8
)

// endpointLimiter decides what may be sent to which webhook now. It knows this process only;
// facts that other processes need are in the store.
type endpointLimiter struct {
	// maxBytes is the memory that the requests to one webhook may hold for large payloads.
	maxBytes int64
	mu       sync.Mutex
	webhooks map[hook.WebhookID]*endpoint
	swept    time.Time
	// inline counts the local activities that send.
	inline int
}

// endpoint is the state of one webhook's endpoint.
type endpoint struct {
	inFlight int
	// byHand counts the requests in flight that people have asked for.
	byHand int
	bytes  int64
	// failures counts the unavailable attempts in a row that began after answered, the time of
	// the last response. Of many requests in flight those that hang end last: they say nothing
	// about the time after a response that came while they hung.
	failures int
	answered time.Time
	tripped  time.Time
	tokens   *rate.Limiter
	used     time.Time
}

// decision is the limiter's answer to a request.
type decision int

const (
	allow    decision = iota
	throttle          // the webhook is over a limit: ask again
	open              // the breaker is open: the endpoint is unavailable
)

func newEndpointLimiter(maxBytes int64) *endpointLimiter {
	return &endpointLimiter{maxBytes: maxBytes, webhooks: map[hook.WebhookID]*endpoint{}}
}

func (l *endpointLimiter) of(id hook.WebhookID, now time.Time) *endpoint {
	e := l.webhooks[id]
	if e == nil {
		e = &endpoint{}
		l.webhooks[id] = e
	}
	e.used = now
	return e
}

// enter asks for a request to a webhook. payload is the size of a payload that has to be
// loaded for it, or 0. If it is allowed, the caller must call leave.
func (l *endpointLimiter) enter(w *hook.Webhook, payload int, now time.Time) decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	e := l.of(w.ID, now)
	switch {
	case now.Sub(e.tripped) < tripMemory:
		return open
	case l.reason(e, w, payload, now) != "":
		return throttle
	}
	e.enter(payload)
	return allow
}

// reason returns the limit that stops a request. If there is none, it takes a token of the
// rate limit and returns "".
func (l *endpointLimiter) reason(e *endpoint, w *hook.Webhook, payload int, now time.Time) hook.WaitReason {
	switch {
	case e.inFlight >= maxInFlight, e.bytes > 0 && e.bytes+funds(payload) > l.maxBytes:
		return hook.WaitInFlight
	case !e.token(w.RateLimit, now):
		return hook.WaitRate
	}
	return ""
}

func (e *endpoint) enter(payload int) {
	e.inFlight++
	e.bytes += funds(payload)
}

// enterByHand is enter for a request that a person has asked for. It shares the limits, and
// goes through an open breaker as a probe, one at a time. It returns the limit that stops the
// request, or ""; then the caller must call leaveByHand.
func (l *endpointLimiter) enterByHand(w *hook.Webhook, payload int, now time.Time) hook.WaitReason {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	e := l.of(w.ID, now)
	if e.byHand > 0 && (w.TrippedAt != nil || now.Sub(e.tripped) < tripMemory) {
		return hook.WaitUnavailable
	}
	if reason := l.reason(e, w, payload, now); reason != "" {
		return reason
	}
	e.enter(payload)
	e.byHand++
	return ""
}

// leaveByHand is leave after enterByHand.
func (l *endpointLimiter) leaveByHand(id hook.WebhookID, payload int, sent *hook.Attempt, now time.Time) (trips bool) {
	l.mu.Lock()
	l.of(id, now).byHand--
	l.mu.Unlock()
	return l.leave(id, payload, sent, now)
}

// token takes a token of the rate limit, which allows a burst of a tenth of a second.
func (e *endpoint) token(limit int, now time.Time) bool {
	if limit == 0 {
		e.tokens = nil
		return true
	}
	if burst := max(limit/10, 1); e.tokens == nil {
		e.tokens = rate.NewLimiter(rate.Limit(limit), burst)
	} else if e.tokens.Limit() != rate.Limit(limit) {
		e.tokens.SetLimitAt(now, rate.Limit(limit))
		e.tokens.SetBurstAt(now, burst)
	}
	return e.tokens.AllowN(now, 1)
}

// leave ends a request that entered with the same payload. sent is its attempt, nil if none
// was made. It reports whether the breaker trips by this attempt.
func (l *endpointLimiter) leave(id hook.WebhookID, payload int, sent *hook.Attempt, now time.Time) (trips bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(id, now)
	e.inFlight--
	e.bytes -= funds(payload)
	switch {
	case sent == nil:
	case !sent.Unavailable():
		e.failures, e.tripped, e.answered = 0, time.Time{}, now
	case now.Add(-sent.Duration).Before(e.answered):
	default:
		e.failures++
		if trips = e.failures >= tripAfter; trips {
			e.failures, e.tripped = 0, now
		}
	}
	if e.idle() && e.tokens == nil {
		delete(l.webhooks, id)
	}
	return trips
}

func (e *endpoint) idle() bool { return e.inFlight == 0 && e.failures == 0 && e.tripped.IsZero() }

// reopen lets the next request through although the breaker has just tripped: a drain decides
// by itself when to probe.
func (l *endpointLimiter) reopen(id hook.WebhookID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.webhooks[id]; e != nil {
		e.tripped = time.Time{}
	}
}

// sweep forgets, once per endpointIdle, endpoints that were not used for that time.
func (l *endpointLimiter) sweep(now time.Time) {
	if now.Sub(l.swept) < endpointIdle {
		return
	}
	l.swept = now
	for id, e := range l.webhooks {
		if e.inFlight == 0 && now.Sub(e.used) >= endpointIdle {
			delete(l.webhooks, id)
		}
	}
}

// inFlight returns the number of requests to the webhook in flight.
func (l *endpointLimiter) inFlight(id hook.WebhookID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.webhooks[id]; e != nil {
		return e.inFlight
	}
	return 0
}

// enterInline takes a place for a local activity that sends. It returns false if there is
// none; otherwise the caller must call leaveInline.
func (l *endpointLimiter) enterInline() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inline == maxInline {
		return false
	}
	l.inline++
	return true
}

func (l *endpointLimiter) leaveInline() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inline--
}
