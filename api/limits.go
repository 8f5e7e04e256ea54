package api

import (
	"fmt"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"grapnel/internal/hook"
)

// limits bound what one API key, and all of a tenant's together, can ask of this process
// (spec 7): an admin key can make others. Other processes count for themselves, so that
// nothing has to be shared. Only keys that are valid get here, and only those that are
// busy are remembered.
type limits struct {
	// requests per second, and subscribers that wait; nil for no limit.
	keys, tenants           *buckets[[16]byte]
	keysWaiting, allWaiting *waiters[[16]byte]
	// tests and retries by hand per second, and those that are under way.
	hands         *buckets[[16]byte]
	handsUnderWay *waiters[[16]byte]
}

// What one tenant may send by hand, tests and retries, in this process: a second's at
// once, and what is under way at the same time. Its webhooks' own limits, which they share
// with events, are the worker's to keep.
const (
	handPerSecond = 20
	handAtOnce    = 16
)

// keysWorth is how many keys at their limits a tenant's own default is worth.
const keysWorth = 5

func newLimits(c *Config) *limits {
	orKeys := func(tenant, key int) int {
		if tenant == 0 {
			return keysWorth * key
		}
		return tenant
	}
	return &limits{
		keys: newBuckets[[16]byte](c.KeyRateLimit), tenants: newBuckets[[16]byte](orKeys(c.TenantRateLimit, c.KeyRateLimit)),
		keysWaiting: newWaiters[[16]byte](c.MaxPolls), allWaiting: newWaiters[[16]byte](orKeys(c.TenantMaxPolls, c.MaxPolls)),
		hands: newBuckets[[16]byte](handPerSecond), handsUnderWay: newWaiters[[16]byte](handAtOnce),
	}
}

// request counts a request of the key; an error when it is one too many.
func (l *limits) request(key *hook.APIKey, now time.Time) error {
	if wait := l.keys.take(key.ID, now); wait > 0 {
		return tooMany(wait, "the API key makes more than %d requests per second", l.keys.perSecond)
	}
	if wait := l.tenants.take(key.TenantID, now); wait > 0 {
		return tooMany(wait, "the API keys of the account together make more than %d requests per second", l.tenants.perSecond)
	}
	return nil
}

func tooMany(wait time.Duration, format string, most int) error {
	return &hook.Error{Kind: hook.KindRateLimited, Message: fmt.Sprintf(format, most), RetryAfter: wait}
}

// wait counts a subscriber of the key, until leave is called; an error when it is
// one too many.
func (l *limits) wait(key *hook.APIKey) (leave func(), err error) {
	if !l.keysWaiting.enter(key.ID) {
		return nil, tooMany(time.Second, "the API key has %d subscribers waiting, the most that it may have", l.keysWaiting.most)
	}
	if !l.allWaiting.enter(key.TenantID) {
		l.keysWaiting.leave(key.ID)
		return nil, tooMany(time.Second, "the API keys of the account together have %d subscribers waiting, the most that they may have", l.allWaiting.most)
	}
	return func() {
		l.keysWaiting.leave(key.ID)
		l.allWaiting.leave(key.TenantID)
	}, nil
}

// buckets let so many through in a second for each of those that they know by K, and as
// many at once.
type buckets[K comparable] struct {
	perSecond int

	mu    sync.Mutex
	of    map[K]*rate.Limiter
	swept time.Time
}

// newBuckets makes buckets; nil, which lets everything through, where perSecond is 0.
func newBuckets[K comparable](perSecond int) *buckets[K] {
	if perSecond == 0 {
		return nil
	}
	return &buckets[K]{perSecond: perSecond, of: map[K]*rate.Limiter{}}
}

// refill is how long an empty bucket takes to be full: it holds a second's worth.
const refill = time.Second

// take takes one; where there is none, it is how long there will be none.
func (b *buckets[K]) take(k K, now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	taken := b.bucket(k, now).ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

func (b *buckets[K]) bucket(k K, now time.Time) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.of[k]
	if l == nil {
		b.sweep(now)
		l = rate.NewLimiter(rate.Limit(b.perSecond), b.perSecond)
		b.of[k] = l
	}
	return l
}

// sweep forgets full buckets, which say no more than new ones, once in the time
// that it takes them to fill.
func (b *buckets[K]) sweep(now time.Time) {
	if now.Sub(b.swept) < refill {
		return
	}
	b.swept = now
	for k, l := range b.of {
		if l.TokensAt(now) >= float64(b.perSecond) {
			delete(b.of, k)
		}
	}
}

// waiters count who waits, of each of those that they know by K.
type waiters[K comparable] struct {
	most int

	mu sync.Mutex
	of map[K]int
}

// newWaiters makes waiters; nil, which lets everybody wait, where most is 0.
func newWaiters[K comparable](most int) *waiters[K] {
	if most == 0 {
		return nil
	}
	return &waiters[K]{most: most, of: map[K]int{}}
}

// enter counts one more, unless it is one too many.
func (w *waiters[K]) enter(k K) bool {
	if w == nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[k] >= w.most {
		return false
	}
	w.of[k]++
	return true
}

func (w *waiters[K]) leave(k K) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[k]--; w.of[k] == 0 {
		delete(w.of, k)
	}
}

// limitWaiting lets a subscriber wait while its key may have one more. It counts
// until the answer has ended, that of a stream too.
func (a *API) limitWaiting(ctx huma.Context, next func(huma.Context)) {
	key := principal(ctx.Context())
	leave, err := a.limits.wait(&key)
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
	if !l.handsUnderWay.enter(tenant) {
		return nil, tooMany(time.Second, "the account has %d tests and retries by hand under way, the most that it may have", handAtOnce)
	}
	if wait := l.hands.take(tenant, now); wait > 0 {
		l.handsUnderWay.leave(tenant)
		return nil, tooMany(wait, "the account sends more than %d tests and retries by hand per second", handPerSecond)
	}
	return func() { l.handsUnderWay.leave(tenant) }, nil
}
