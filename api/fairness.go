package api

import (
	"context"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// A tenant that publishes batches as fast as it can keeps all processors busy, and every step of another tenant's
// request then waits for one (K9). So a tenant has few batches in work at once, and while other tenants make requests,
// each of its turns is followed by a rest.

const (
	// batchesAtOnce is how many batches of a tenant are in work at once in this process, or half its processors if those
	// are more: one is read while another is stored. More would only be in the way of other tenants' requests.
	batchesAtOnce = 2
	// batchRest is how long a turn rests after a batch while other tenants make requests, as a multiple of the time that
	// the batch took, and maxBatchRest the longest rest: a slow store must not make it longer.
	batchRest    = 2
	maxBatchRest = 250 * time.Millisecond
	// activeFor is how long after its last request a tenant counts as one that makes requests.
	activeFor = 5 * time.Second
)

// beginBatch waits for the tenant's turn to have a batch in work. end ends the turn.
func (l *limits) beginBatch(ctx context.Context, tenant hook.TenantID) (end func(), err error) {
	if err := l.batches.Take(ctx, tenant); err != nil {
		return nil, hook.Unavailable("a turn for the batch", err)
	}
	began := time.Now()
	return func() {
		now := time.Now()
		if !l.seen.others(tenant, now) {
			l.batches.Give(tenant)
			return
		}
		time.AfterFunc(min(batchRest*now.Sub(began), maxBatchRest), func() { l.batches.Give(tenant) })
	}, nil
}

// seen remembers which tenants made the last requests: the last one, and the last one before it that is another.
type seen struct {
	mu             sync.Mutex
	last, previous request
}

// request is when a tenant made its last request.
type request struct {
	tenant hook.TenantID
	at     time.Time
}

func (s *seen) add(tenant hook.TenantID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tenant != s.last.tenant {
		s.previous = s.last
	}
	s.last = request{tenant, now}
}

// others reports whether another tenant has made a request in the last moments.
func (s *seen) others(tenant hook.TenantID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	other := s.last
	if other.tenant == tenant {
		other = s.previous
	}
	return other.tenant != hook.TenantID{} && now.Sub(other.at) < activeFor
}
