package storagetest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// sleeper is the state of a drain or a replay between two of its looks.
type sleeper struct {
	// changes counts its wakes. idle is set while it sleeps because nothing is due.
	changes int64
	idle    bool
	// awake is closed when it must look now.
	awake chan struct{}
	woken bool
	// probeAt is the time of a drain's next probe; nil if unknown.
	probeAt *time.Time
}

func newSleeper() *sleeper { return &sleeper{awake: make(chan struct{})} }

// wake makes the sleeper look now.
func (s *sleeper) wake() {
	s.changes++
	s.idle, s.probeAt = false, nil
	if !s.woken {
		s.woken = true
		close(s.awake)
	}
}

// looks begins a look.
func (s *sleeper) looks() {
	s.idle = false
	if s.woken {
		s.woken, s.awake = false, make(chan struct{})
	}
}

// deferring notes that a delivery of the webhook is deferred, and reports whether the webhook had no drain. The
// caller holds the lock.
func (s *Store) deferring(id hook.WebhookID) (undrained bool) {
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

// Woken returns a channel that is closed when the webhook's drain must look now, as a sweeper would wake it within
// seconds; nil if there is no drain.
func (s *Store) Woken(id hook.WebhookID) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.drains[id]; d != nil {
		return d.awake
	}
	return nil
}

// Defer gives deliveries to the drains of their webhooks.
func (s *Store) Defer(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error {
	if err := s.failing(ctx, OpDefer); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if d := s.deliveries[id]; d != nil {
			d.Deferred = true
		}
	}
	for _, id := range webhooks {
		s.deferring(id)
	}
	return nil
}

// Deferred loads a webhook's deferred deliveries, the longest due first.
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
		b.TrippedAt, b.PausedAt, b.SuspendedAt = w.TrippedAt, w.PausedAt, w.SuspendedAt
	}
	for _, d := range s.deferredOf(webhook) {
		if b.Waiting++; len(b.Jobs) < limit {
			b.Jobs = append(b.Jobs, s.job(d))
		}
	}
	return b, nil
}

func (s *Store) deferredOf(webhook hook.WebhookID) []*hook.Delivery {
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

// ExpireDeferred fails the deferred deliveries that have waited for longer than age, in the order of their ids,
// except those that are being sent.
func (s *Store) ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error) {
	if err := s.failing(ctx, OpExpire); err != nil {
		return hook.Ended{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []hook.DeliveryID
	list := s.deferredOf(webhook)
	slices.SortFunc(list, func(a, b *hook.Delivery) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	w := s.webhooks[webhook]
	for _, d := range list {
		if len(ended) == limit || d.State == hook.StateSending || s.now().Sub(w.waitingSince(d)) <= age {
			continue
		}
		d.State, d.Error, d.NextAttemptAt, d.UpdatedAt = hook.StateFailed, hook.TextUnavailable, nil, s.now()
		ended = append(ended, d.ID)
	}
	if len(ended) > 0 {
		w.Health = hook.HealthFailed
		if w.failingSince == nil {
			now := s.now()
			w.failingSince = &now
		}
	}
	return hook.Ended{Deliveries: ended}, nil
}

// SetBreaker opens or closes the webhook's circuit breaker.
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

// DrainSleeps notes that the drain sleeps. It returns false if something has changed since the drain's look.
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
	if deferred := s.deferredOf(webhook); !n.Until.IsZero() && len(deferred) > 0 && deferred[0].NextAttemptAt.Before(n.Until) {
		return false, nil
	}
	d.idle, d.probeAt = !n.Until.IsZero(), nil
	if n.ProbeIn != nil {
		at := s.now().Add(*n.ProbeIn)
		d.probeAt = &at
	}
	return true, nil
}

// DrainEnds ends a drain, unless a delivery is deferred or the webhook has changed. It cancels the revoked
// deliveries.
func (s *Store) DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (bool, error) {
	if err := s.failing(ctx, OpEnds); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.drains[webhook]
	if len(s.deferredOf(webhook)) > 0 || d != nil && d.changes != changes {
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

// Drain records a request for the webhook's drain.
func (s *Store) Drain(ctx context.Context, webhook hook.WebhookID) error {
	if err := s.failing(ctx, OpDrain); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = append(s.drained, webhook)
	return nil
}

// Drained returns the webhooks whose drains were requested, in that order.
func (s *Store) Drained() []hook.WebhookID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.drained)
}
