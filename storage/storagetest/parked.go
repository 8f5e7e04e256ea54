package storagetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// sleeper is what the store knows of a drain, or of a replay.
type sleeper struct {
	// changes is how often it was woken; idle says that it sleeps because nothing is due.
	changes int64
	idle    bool
	// awake is closed when it is to look now.
	awake chan struct{}
	woken bool
	// probeAt is when a drain asks its endpoint next; nil where it has not said.
	probeAt *time.Time
}

func newSleeper() *sleeper { return &sleeper{awake: make(chan struct{})} }

// wake has it look now.
func (s *sleeper) wake() {
	s.changes++
	s.idle, s.probeAt = false, nil
	if !s.woken {
		s.woken = true
		close(s.awake)
	}
}

// looks is what begins a look.
func (s *sleeper) looks() {
	s.idle = false
	if s.woken {
		s.woken, s.awake = false, make(chan struct{})
	}
}

// parks is what whoever parks does to the drain; the caller holds the lock.
func (s *Store) parks(id hook.WebhookID) (undrained bool) {
	d := s.drains[id]
	if d == nil {
		s.drains[id] = newSleeper()
		return true
	}
	if d.idle {
		d.wake()
	}
	return false
}

// Woken is closed when the webhook's drain is to look now, as a sweeper would have it
// within seconds; nil if there is none.
func (s *Store) Woken(id hook.WebhookID) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.drains[id]; d != nil {
		return d.awake
	}
	return nil
}

// Park hands deliveries over to the drains of their webhooks.
func (s *Store) Defer(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error {
	if err := s.failing(ctx, OpDefer); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.deliveries[id].Deferred = true
	}
	for _, id := range webhooks {
		s.parks(id)
	}
	return nil
}

// Parked loads what is parked of a webhook's deliveries, the longest due first.
func (s *Store) Deferred(ctx context.Context, webhook hook.WebhookID, limit int) (hook.DeferredPage, error) {
	var b hook.DeferredPage
	if err := s.failing(ctx, OpDeferred); err != nil {
		return b, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.drains[webhook]; d != nil {
		d.looks()
		b.Changes = d.changes
	}
	if w := s.webhooks[webhook]; w != nil {
		b.TrippedAt, b.PausedAt = w.TrippedAt, w.PausedAt
	}
	for _, d := range s.parkedOf(webhook) {
		if b.Waiting++; len(b.Jobs) < limit {
			b.Jobs = append(b.Jobs, s.job(d))
		}
	}
	return b, nil
}

func (s *Store) parkedOf(webhook hook.WebhookID) []*hook.Delivery {
	var list []*hook.Delivery
	for _, id := range s.order {
		if d := s.deliveries[id]; d.WebhookID == webhook && d.Deferred && d.Outstanding() && s.revoked(d) == "" {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b *hook.Delivery) int {
		return cmp.Compare(a.NextAttemptAt.UnixNano(), b.NextAttemptAt.UnixNano())
	})
	return list
}

// ExpireDeferred fails those whose event is older than age.
func (s *Store) ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error) {
	if err := s.failing(ctx, OpExpire); err != nil {
		return hook.Ended{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []hook.DeliveryID
	for _, d := range s.parkedOf(webhook) {
		if len(ended) < limit && s.now().Sub(d.CreatedAt) > age {
			d.State, d.Error, d.NextAttemptAt = hook.StateFailed, hook.TextUnavailable, nil
			s.webhooks[webhook].Health = hook.HealthFailed
			ended = append(ended, d.ID)
		}
	}
	return hook.Ended{Deliveries: ended}, nil
}

// Trip opens or closes the webhook's circuit breaker.
func (s *Store) SetBreaker(ctx context.Context, webhook hook.WebhookID, open bool) error {
	if err := s.failing(ctx, OpSetBreaker); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.webhooks[webhook]
	if w == nil || (w.TrippedAt != nil) == open {
		return nil
	}
	w.TrippedAt = nil
	if open {
		now := s.now()
		w.TrippedAt = &now
	}
	return nil
}

// DrainSleeps notes that the drain sleeps, unless something has changed since it looked.
func (s *Store) DrainSleeps(ctx context.Context, webhook hook.WebhookID, n hook.Nap) (bool, error) {
	if err := s.failing(ctx, OpSleeps); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.drains[webhook]
	if d == nil {
		return true, nil
	}
	if d.woken || d.changes != n.Changes {
		return false, nil
	}
	if parked := s.parkedOf(webhook); !n.Until.IsZero() && len(parked) > 0 && parked[0].NextAttemptAt.Before(n.Until) {
		return false, nil
	}
	d.idle, d.probeAt = !n.Until.IsZero(), nil
	if n.ProbeIn != nil {
		at := s.now().Add(*n.ProbeIn)
		d.probeAt = &at
	}
	return true, nil
}

// DrainEnds ends a drain, unless something is parked by now, or has changed; what is
// revoked it has canceled.
func (s *Store) DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (bool, error) {
	if err := s.failing(ctx, OpEnds); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.drains[webhook]
	if len(s.parkedOf(webhook)) > 0 || d != nil && d.changes != changes {
		return false, nil
	}
	for _, d := range s.deliveries {
		if reason := s.revoked(d); reason != "" && d.WebhookID == webhook {
			s.cancel(d, reason)
		}
	}
	delete(s.drains, webhook)
	return true, nil
}

// Drain notes which drains were asked for.
func (s *Store) Drain(ctx context.Context, webhook hook.WebhookID) error {
	if err := s.failing(ctx, OpDrain); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = append(s.drained, webhook)
	return nil
}

// Drained are the webhooks whose drains were asked for, in that order.
func (s *Store) Drained() []hook.WebhookID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.drained)
}
