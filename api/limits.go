package api

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"grapnel/internal/hook"
	"grapnel/internal/turns"
)

// limits bounds what one API key, and all keys of a tenant together, can demand of this process (spec 7). The tenant
// has a bound of its own because an admin key can create other keys. Each process counts by itself, so that nothing has
// to be shared. Only valid keys are counted, and only busy ones are held in memory.
type limits struct {
	// Requests per second, and waiting subscribers; nil for no limit.
	keys, tenants           *buckets[[16]byte]
	keysWaiting, allWaiting *waiters[[16]byte]
	// Tests and retries by hand per second, and those in progress.
	hands         *buckets[[16]byte]
	handsUnderWay *waiters[[16]byte]
	// batches are the batches that a tenant has in work. Others wait for their turn (K9).
	batches *turns.Slots[hook.TenantID]
	// seen are the tenants that made the last requests.
	seen seen
	// published counts the events of each tenant (K7).
	published *publishRates
}

// Bounds of what one tenant may send by hand, tests and retries, in this process: per second, which is also the burst,
// and at the same time. The worker enforces the limits of the webhooks, which tests and retries share with events.
const (
	handPerSecond = 20
	handAtOnce    = 16
)

// keysWorth is the default bound of a tenant, as a multiple of the bound of one key.
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
		batches:   turns.NewSlots[hook.TenantID](max(batchesAtOnce, runtime.GOMAXPROCS(0)/2)),
		published: newPublishRates(c.PublishRate),
	}
}

// request counts a request of the key. It returns an error if that is one too many.
func (l *limits) request(key *hook.APIKey, now time.Time) error {
	l.seen.add(key.TenantID, now)
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

// wait counts a waiting subscriber of the key until leave is called. It returns an error if that is one too many.
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

// buckets is a set of token buckets by K. Each lets perSecond requests through in a second, and as many in a burst.
type buckets[K comparable] struct {
	perSecond int

	mu    sync.Mutex
	of    map[K]*rate.Limiter
	swept time.Time
}

// newBuckets returns token buckets; if perSecond is 0, it returns nil, which lets everything through.
func newBuckets[K comparable](perSecond int) *buckets[K] {
	if perSecond == 0 {
		return nil
	}
	return &buckets[K]{perSecond: perSecond, of: map[K]*rate.Limiter{}}
}

// refill is how long an empty bucket takes to be full again.
const refill = time.Second

// take takes a token. If there is none, it returns how long it takes until there is one.
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

// sweep drops full buckets, which are no different from new ones, at most once in the time of a refill.
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

// waiters counts waiting requests by K.
type waiters[K comparable] struct {
	most int

	mu sync.Mutex
	of map[K]int
}

// newWaiters returns a counter; if most is 0, it returns nil, which has no bound.
func newWaiters[K comparable](most int) *waiters[K] {
	if most == 0 {
		return nil
	}
	return &waiters[K]{most: most, of: map[K]int{}}
}

// enter counts one more and returns true, unless that is one too many.
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

// limitWaiting refuses a subscriber if its key has as many as it may have. A subscriber counts until its answer has
// ended, also that of a stream.
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

// byHand counts a test or a retry of a tenant until leave is called. It returns an error if that is one too many.
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
