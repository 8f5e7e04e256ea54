package storagetest

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// webhook is a webhook with the parts of its health that only the store knows.
type webhook struct {
	hook.Webhook
	failingSince         *time.Time
	failures, failedDays int
	failedOn             string
	unreadable           error
	// resumedAt is when the last pause ended; zero if there was none.
	resumedAt time.Time
}

// waitingSince returns when the delivery began to wait: at its event, or at the end of a later pause.
func (w *webhook) waitingSince(d *hook.Delivery) time.Time {
	if w.resumedAt.After(d.CreatedAt) {
		return w.resumedAt
	}
	return d.CreatedAt
}

// moveFailing moves the five days of S14 by a time in which nobody asked the endpoint.
func (w *webhook) moveFailing(from, until time.Time) {
	if w.failingSince == nil {
		return
	}
	if w.failingSince.After(from) {
		from = *w.failingSince
	}
	moved := w.failingSince.Add(until.Sub(from))
	w.failingSince = &moved
}

// ChangeWebhook changes a webhook, as a PATCH request does. Deactivating it revokes its outstanding deliveries
// (S15). Activating it or changing its URL restarts the five days (S14); the end of a pause moves them.
func (s *Store) ChangeWebhook(id hook.WebhookID, change func(*hook.Webhook)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.webhooks[id]
	was := w.Webhook
	change(&w.Webhook)
	w.Version, w.Generation = was.Version, was.Generation
	if requestsDiffer(&was, &w.Webhook) {
		w.Version++
	}
	resumed := was.PausedAt != nil && w.PausedAt == nil
	if resumed {
		w.resumedAt = s.now()
	}
	switch {
	case w.Active && !was.Active, w.URL != was.URL:
		w.failingSince, w.failures, w.failedDays, w.TrippedAt = nil, 0, 0, nil
	case resumed:
		w.moveFailing(*was.PausedAt, s.now())
	}
	if d := s.drains[id]; d != nil {
		d.wake()
	}
	if was.Active && !w.Active {
		w.Generation++
	}
}

// requestsDiffer reports whether the change affects requests, as the trigger webhook_changes decides it (migration
// 00018).
func requestsDiffer(a, b *hook.Webhook) bool {
	type request struct {
		url            string
		secret         hook.Secret
		profile        hook.Profile
		active, traced bool
		timeout        time.Duration
		rate, attempts int
		paused         time.Time
	}
	of := func(w *hook.Webhook) request {
		r := request{
			url: w.URL, secret: w.Secret, profile: w.Profile, active: w.Active, traced: w.TraceContext,
			timeout: w.Timeout, rate: w.RateLimit, attempts: w.MaxAttempts,
		}
		if w.PausedAt != nil {
			r.paused = *w.PausedAt
		}
		return r
	}
	return of(a) != of(b) || !maps.Equal(a.Headers, b.Headers) || !slices.Equal(a.Schemes, b.Schemes) ||
		!reflect.DeepEqual(a.Previous, b.Previous)
}

// DeleteWebhook deletes a webhook, as a DELETE request does, and so revokes its outstanding deliveries. They keep
// their state, as their rows do in storage until a page of the cancellation reaches them.
func (s *Store) DeleteWebhook(id hook.WebhookID) { s.LoseWebhook(id, false) }

// LoseWebhook deletes a webhook, or only deactivates it.
func (s *Store) LoseWebhook(id hook.WebhookID, deactivate bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if deactivate {
		s.disable(s.webhooks[id])
		return
	}
	delete(s.webhooks, id)
}

// disable disables an active webhook; the caller holds the lock.
func (s *Store) disable(w *webhook) {
	if w.Active {
		w.Active = false
		w.Version++
		w.Generation++
	}
}
