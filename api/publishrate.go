package api

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"grapnel/internal/hook"
)

// A tenant may publish so many events per second (K7): its own limit, or that of the process. An event is counted when
// nothing is left to do but to store it, so a refused event costs nothing. Each process counts by itself.

// publishRates counts the events that tenants publish.
type publishRates struct {
	// usual is the limit of tenants without one of their own, in events per second; 0 is none.
	usual int

	mu sync.Mutex
	// of has the tenants that published last. One that is left out begins with a full bucket.
	of *simplelru.LRU[hook.TenantID, *publishRate]
}

// publishRate is a tenant's token bucket. It holds the events of one second.
type publishRate struct {
	limiter   *rate.Limiter
	perSecond int
}

// mostRates bounds how many tenants' buckets are kept.
const mostRates = 10_000

func newPublishRates(usual int) *publishRates {
	of, _ := simplelru.NewLRU[hook.TenantID, *publishRate](mostRates, nil) // it fails for a size of 0 only
	return &publishRates{usual: usual, of: of}
}

// take takes tokens for n events of a tenant whose own limit is own, nil for none. It returns for how many there were
// tokens, and an error for the others if there are any.
func (r *publishRates) take(tenant hook.TenantID, own *int, n int, now time.Time) (granted int, err error) {
	perSecond := r.usual
	if own != nil {
		perSecond = *own
	}
	if perSecond == 0 {
		return n, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.bucket(tenant, perSecond, now)
	tokens := b.limiter.TokensAt(now)
	if granted = max(0, min(n, int(tokens))); granted > 0 {
		b.limiter.AllowN(now, granted)
	}
	if granted == n {
		return n, nil
	}
	// Retry-After is in whole seconds, rounded up, so it is never 0.
	missing := 1 - (tokens - float64(granted))
	wait := max(time.Duration(missing/float64(perSecond)*float64(time.Second)), time.Millisecond)
	return granted, tooMany(wait, "the account publishes more than %d events per second (publish_rate)", perSecond)
}

// bucket returns a tenant's bucket. A changed limit holds from now on; what is in the bucket stays, up to the new size.
func (r *publishRates) bucket(tenant hook.TenantID, perSecond int, now time.Time) *publishRate {
	b, ok := r.of.Get(tenant)
	if !ok {
		b = &publishRate{rate.NewLimiter(rate.Limit(perSecond), perSecond), perSecond}
		r.of.Add(tenant, b)
	}
	if b.perSecond != perSecond {
		b.limiter.SetLimitAt(now, rate.Limit(perSecond))
		b.limiter.SetBurstAt(now, perSecond)
		b.perSecond = perSecond
	}
	return b
}

// admit counts the event of a request, once even if the request is checked twice. It returns an error if the event is
// above the tenant's rate.
func (a *API) admit(ctx context.Context) error {
	c := callerOf(ctx)
	if c.admitted {
		return nil
	}
	own, err := a.ownRate(ctx, c)
	if err != nil {
		return err
	}
	granted, err := a.limits.published.take(c.Key.TenantID, own, 1, time.Now())
	c.admitted = granted > 0
	return err
}

// ownRate returns the limit of the caller's tenant, nil if it has none of its own. It comes with the key, but with
// --auth=none nothing is looked up for the tenant "default".
func (a *API) ownRate(ctx context.Context, c *caller) (*int, error) {
	if !a.Config.NoAuth || c.named != "" {
		return c.PublishRate, nil
	}
	t, err := a.Store.FindTenant(ctx, hook.DefaultTenant().String())
	return t.Limits.PublishRate, err
}

// admitBatch counts the events of a batch that are not refused yet, and refuses those above the rates of their tenants,
// the last ones of each. rates are the own limits of the tenants that events name. If any are above, the idempotency keys are looked up before:
// events that are stored already are not counted, so that a batch that is sent again, because a part of it was refused,
// gets further each time. It returns an error only if the store fails.
func (a *API) admitBatch(ctx context.Context, list []hook.Publication, rates map[hook.TenantID]*int, accepted []hook.Accepted, errs []error) error {
	good := map[hook.TenantID]int{}
	for i, err := range errs {
		if err == nil {
			good[list[i].TenantID]++
		}
	}
	own := tenant(ctx)
	if _, named := rates[own]; !named && good[own] > 0 {
		var err error
		if rates[own], err = a.ownRate(ctx, callerOf(ctx)); err != nil {
			return err
		}
	}
	granted, over := make(map[hook.TenantID]int, len(good)), map[hook.TenantID]error{}
	now := time.Now()
	for tenant, n := range good {
		var err error
		if granted[tenant], err = a.limits.published.take(tenant, rates[tenant], n, now); err != nil {
			over[tenant] = err
		}
	}
	if len(over) == 0 {
		return nil
	}
	counted := make([]bool, len(errs))
	for i, err := range errs {
		if refusal := over[list[i].TenantID]; err == nil && refusal != nil {
			counted[i], errs[i] = true, refusal
		}
	}
	a.findRepeated(ctx, list, accepted, errs, hook.KindConflict)
	for i := range errs {
		tenant := list[i].TenantID
		if counted[i] && granted[tenant] > 0 && hook.KindOf(errs[i]) == hook.KindRateLimited {
			errs[i] = nil
			granted[tenant]--
		}
	}
	return nil
}
