package activities

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"grapnel/internal/hook"
)

// How much one webhook gets of a process (spec 9).
const (
	// maxInFlight is how many requests to a webhook are under way at once.
	maxInFlight = 64
	// tripAfter is how many attempts in a row find nobody there until the breaker trips.
	// It is above the five of one delivery: the first one to fail keeps its schedule.
	tripAfter = 10
	// tripMemory covers what was loaded before the store knew that the breaker is open.
	tripMemory = 2 * time.Second
	// gateIdle is how long the gate of a webhook with a rate limit is kept unused.
	gateIdle = time.Minute
)

// gates decide what may be sent to which webhook now. They know this process only:
// what others must know is in the store.
type gates struct {
	// mostBytes is how much memory the requests to one webhook may hold for large payloads.
	mostBytes int64
	mu        sync.Mutex
	webhooks  map[hook.WebhookID]*gate
	swept     time.Time
	// first counts the first attempts by local activities.
	first int
}

type gate struct {
	inFlight int
	// byHand are those of them that people have asked for.
	byHand int
	bytes  int64
	// failures are those in a row that found nobody there, and began after answered, the
	// time of the last answer. Of many requests at once those that hang end last: they say
	// nothing about the time after an answer that came while they hung.
	failures int
	answered time.Time
	tripped  time.Time
	tokens   *rate.Limiter
	used     time.Time
}

// admission is what a gate says.
type admission int

const (
	admitted admission = iota
	full               // over a limit: come again
	shut               // the endpoint is unavailable
)

func newGates(mostBytes int64) *gates {
	return &gates{mostBytes: mostBytes, webhooks: map[hook.WebhookID]*gate{}}
}

func (g *gates) of(id hook.WebhookID, now time.Time) *gate {
	w := g.webhooks[id]
	if w == nil {
		w = &gate{}
		g.webhooks[id] = w
	}
	w.used = now
	return w
}

// enter asks for a request to a webhook with a payload of some bytes, 0 for one that need
// not be loaded; who is admitted must leave.
func (g *gates) enter(w *hook.Webhook, payload int, now time.Time) admission {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	gate := g.of(w.ID, now)
	switch {
	case now.Sub(gate.tripped) < tripMemory:
		return shut
	case g.reason(gate, w, payload, now) != "":
		return full
	}
	gate.enter(payload)
	return admitted
}

// reason is the limit that keeps a request back; "" if none does, and then a token is taken.
func (g *gates) reason(gate *gate, w *hook.Webhook, payload int, now time.Time) hook.WaitReason {
	switch {
	case gate.inFlight >= maxInFlight, gate.bytes > 0 && gate.bytes+funds(payload) > g.mostBytes:
		return hook.WaitInFlight
	case !gate.token(w.RateLimit, now):
		return hook.WaitRate
	}
	return ""
}

func (w *gate) enter(payload int) {
	w.inFlight++
	w.bytes += funds(payload)
}

// enterByHand is enter for a request that a person has asked for: it shares the limits, and
// goes through an open breaker as a probe, one at a time. It returns what keeps it back,
// "" if nothing does; then it must leaveByHand.
func (g *gates) enterByHand(w *hook.Webhook, payload int, now time.Time) hook.WaitReason {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	gate := g.of(w.ID, now)
	if gate.byHand > 0 && (w.TrippedAt != nil || now.Sub(gate.tripped) < tripMemory) {
		return hook.WaitUnavailable
	}
	if reason := g.reason(gate, w, payload, now); reason != "" {
		return reason
	}
	gate.enter(payload)
	gate.byHand++
	return ""
}

// leaveByHand is leave for what has entered by hand.
func (g *gates) leaveByHand(id hook.WebhookID, payload int, sent *hook.Attempt, now time.Time) (trips bool) {
	g.mu.Lock()
	g.of(id, now).byHand--
	g.mu.Unlock()
	return g.leave(id, payload, sent, now)
}

// token takes one of the rate limit's, which allows a tenth of a second's at once.
func (w *gate) token(limit int, now time.Time) bool {
	if limit == 0 {
		w.tokens = nil
		return true
	}
	if burst := max(limit/10, 1); w.tokens == nil {
		w.tokens = rate.NewLimiter(rate.Limit(limit), burst)
	} else if w.tokens.Limit() != rate.Limit(limit) {
		w.tokens.SetLimitAt(now, rate.Limit(limit))
		w.tokens.SetBurstAt(now, burst)
	}
	return w.tokens.AllowN(now, 1)
}

// leave ends a request that had entered with the payload; sent is nil where none was made. It reports whether this was the
// one by which the breaker trips.
func (g *gates) leave(id hook.WebhookID, payload int, sent *hook.Attempt, now time.Time) (trips bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.of(id, now)
	w.inFlight--
	w.bytes -= funds(payload)
	switch {
	case sent == nil:
	case !sent.Unavailable():
		w.failures, w.tripped, w.answered = 0, time.Time{}, now
	case now.Add(-sent.Duration).Before(w.answered):
	default:
		w.failures++
		if trips = w.failures >= tripAfter; trips {
			w.failures, w.tripped = 0, now
		}
	}
	if w.idle() && w.tokens == nil {
		delete(g.webhooks, id)
	}
	return trips
}

func (w *gate) idle() bool { return w.inFlight == 0 && w.failures == 0 && w.tripped.IsZero() }

// reopen lets the next request through although the breaker has just tripped: a drain
// decides by itself when to probe.
func (g *gates) reopen(id hook.WebhookID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.webhooks[id]; w != nil {
		w.tripped = time.Time{}
	}
}

// sweep now and then forgets gates that were not used for a while.
func (g *gates) sweep(now time.Time) {
	if now.Sub(g.swept) < gateIdle {
		return
	}
	g.swept = now
	for id, w := range g.webhooks {
		if w.inFlight == 0 && now.Sub(w.used) >= gateIdle {
			delete(g.webhooks, id)
		}
	}
}

// inFlight is how many requests to the webhook are under way.
func (g *gates) inFlight(id hook.WebhookID) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.webhooks[id]; w != nil {
		return w.inFlight
	}
	return 0
}

// enterFirst takes one of the places for first attempts by local activities; false
// when there is none.
func (g *gates) enterFirst() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first == maxFirst {
		return false
	}
	g.first++
	return true
}

func (g *gates) leaveFirst() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.first--
}
