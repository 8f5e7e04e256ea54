package api

import (
	"fmt"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"grapnel/internal/hook"
)

// limits bound what one API key can ask of this process (spec 7). Other processes
// count for themselves, so that nothing has to be shared. Only keys that are valid
// get here, and only those that are busy are remembered.
type limits struct {
	perSecond int // requests; 0 for no limit
	most      int // subscribers that wait; 0 for no limit

	mu      sync.Mutex
	buckets map[hook.KeyID]*rate.Limiter
	swept   time.Time
	waiting map[hook.KeyID]int
	// hands are tenants that send by hand.
	hands map[hook.TenantID]*hand
}

// What one tenant may send by hand, tests and retries, in this process: a second's at
// once, and what is under way at the same time. Its webhooks' own limits, which they share
// with events, are the worker's to keep.
const (
	handPerSecond = 20
	handAtOnce    = 16
)

// hand is what a tenant sends by hand.
type hand struct {
	tokens   *rate.Limiter
	underWay int
}

func newLimits(c *Config) *limits {
	return &limits{
		perSecond: c.KeyRateLimit, most: c.MaxPolls,
		buckets: map[hook.KeyID]*rate.Limiter{}, waiting: map[hook.KeyID]int{}, hands: map[hook.TenantID]*hand{},
	}
}

// refill is how long an empty bucket takes to be full: it holds a second's requests.
const refill = time.Second

// request counts a request of the key; an error when it is one too many.
func (l *limits) request(key hook.KeyID, now time.Time) error {
	if l.perSecond == 0 {
		return nil
	}
	taken := l.bucket(key, now).ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	taken.CancelAt(now)
	return &hook.Error{
		Kind: hook.KindRateLimited, Message: fmt.Sprintf("the API key makes more than %d requests per second", l.perSecond), RetryAfter: wait,
	}
}

func (l *limits) bucket(key hook.KeyID, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		l.sweep(now)
		b = rate.NewLimiter(rate.Limit(l.perSecond), l.perSecond)
		l.buckets[key] = b
	}
	return b
}

// sweep forgets full buckets, which say no more than new ones, once in the time
// that it takes them to fill.
func (l *limits) sweep(now time.Time) {
	if now.Sub(l.swept) < refill {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.perSecond) {
			delete(l.buckets, key)
		}
	}
}

// wait counts a subscriber of the key, until leave is called; an error when it is
// one too many.
func (l *limits) wait(key hook.KeyID) (leave func(), err error) {
	if l.most == 0 {
		return func() {}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[key] >= l.most {
		return nil, &hook.Error{
			Kind: hook.KindRateLimited, Message: fmt.Sprintf("the API key has %d subscribers waiting, the most that it may have", l.most), RetryAfter: time.Second,
		}
	}
	l.waiting[key]++
	return func() { l.leave(key) }, nil
}

func (l *limits) leave(key hook.KeyID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[key]--; l.waiting[key] == 0 {
		delete(l.waiting, key)
	}
}

// limitWaiting lets a subscriber wait while its key may have one more. It counts
// until the answer has ended, that of a stream too.
func (a *API) limitWaiting(ctx huma.Context, next func(huma.Context)) {
	key := principal(ctx.Context())
	leave, err := a.limits.wait(key.ID)
	if err != nil {
		a.refuse(ctx, err)
		return
	}
	defer leave()
	next(ctx)
}

// byHand counts what a tenant sends by hand, until leave is called; an error when it is
// one too many.
func (l *limits) byHand(tenant hook.TenantID, now time.Time) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hands[tenant]
	if h == nil {
		for id, other := range l.hands { // they are few: those of the last second
			if other.underWay == 0 && other.tokens.TokensAt(now) >= handPerSecond {
				delete(l.hands, id)
			}
		}
		h = &hand{tokens: rate.NewLimiter(handPerSecond, handPerSecond)}
		l.hands[tenant] = h
	}
	if h.underWay >= handAtOnce {
		return nil, &hook.Error{
			Kind: hook.KindRateLimited, RetryAfter: time.Second,
			Message: fmt.Sprintf("the account has %d tests and retries by hand under way, the most that it may have", handAtOnce),
		}
	}
	taken := h.tokens.ReserveN(now, 1)
	if wait := taken.DelayFrom(now); wait > 0 {
		taken.CancelAt(now)
		return nil, &hook.Error{
			Kind: hook.KindRateLimited, RetryAfter: wait,
			Message: fmt.Sprintf("the account sends more than %d tests and retries by hand per second", handPerSecond),
		}
	}
	h.underWay++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		h.underWay--
	}, nil
}
