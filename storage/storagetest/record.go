package storagetest

import (
	"context"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// Record records attempts and changes their deliveries and webhooks by the rules of storage.Record.
func (s *Store) Record(ctx context.Context, records []hook.Record) (hook.Recorded, error) {
	if err := s.failing(ctx, OpRecord); err != nil {
		return hook.Recorded{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, len(records))
	list := make([]hook.Delivery, 0, len(records))
	found := make([]*hook.Delivery, 0, len(records))
	for i := range records {
		r := &records[i]
		d := s.deliveries[r.Delivery.ID]
		if d == nil {
			continue
		}
		found = append(found, d)
		if s.recorded(r) {
			continue
		}
		s.move(d, r)
		s.closeBreaker(r)
		s.applyHealth(r)
	}
	// A webhook that was disabled just now revokes its deliveries among these.
	for _, d := range found {
		if reason := s.revoked(d); reason != "" {
			s.cancel(d, reason)
		}
		list = append(list, *d)
	}
	return hook.Recorded{Deliveries: list}, nil
}

// recorded reports whether the attempt is already in the log.
func (s *Store) recorded(r *hook.Record) bool {
	return slices.ContainsFunc(s.log, func(a hook.Attempt) bool { return a.DeliveryID == r.Delivery.ID && a.ID == r.Attempt.ID })
}

// move counts and logs an attempt of the delivery, and sets the delivery's new state.
func (s *Store) move(d *hook.Delivery, r *hook.Record) {
	a, now := &r.Attempt, s.now()
	d.Attempts++
	if a.StatusCode != 0 {
		d.StatusCode = a.StatusCode
	}
	s.setState(d, r)
	if !a.Manual {
		d.Scheduled = max(d.Scheduled, min(r.Delivery.Scheduled+1, hook.MaxAttempts))
	}
	if a.Succeeded() && d.DeliveredAt == nil {
		d.DeliveredAt = &now
	}
	d.UpdatedAt = now
	logged := *a
	logged.DeliveryID, logged.Number = d.ID, d.Attempts
	s.log = append(s.log, logged)
}

// setState sets the state that follows from an attempt.
func (s *Store) setState(d *hook.Delivery, r *hook.Record) {
	a, reason := &r.Attempt, s.revoked(d)
	switch {
	case a.Succeeded() || d.State == hook.StateSuccess:
		d.State, d.Error, d.NextAttemptAt = hook.StateSuccess, "", nil
	case d.State == hook.StateCanceled && r.Delivery.State != hook.StateCanceled:
		// It was canceled during the attempt.
	case reason != "":
		s.cancel(d, reason)
	case !a.Manual && r.Delivery.Scheduled < d.Scheduled:
		// Another run of the same scheduled attempt is recorded already.
	default:
		d.State, d.Error = r.Verdict.State, a.Error
		if !a.Manual && d.Outstanding() {
			d.NextAttemptAt = s.nextAttempt(r)
		}
	}
}

// nextAttempt returns when the next attempt is due; nil if none follows.
func (s *Store) nextAttempt(r *hook.Record) *time.Time {
	if !r.Verdict.Retry {
		return nil
	}
	at, now := r.Attempt.StartedAt.Add(r.Attempt.Duration+r.Verdict.RetryIn), s.now()
	if at.Before(now) {
		at = now
	}
	return &at
}

// closeBreaker closes the breaker that the answered request passed, and wakes the drain.
func (s *Store) closeBreaker(r *hook.Record) {
	w := s.webhooks[r.Delivery.WebhookID]
	if w == nil || r.TrippedAt == nil || w.TrippedAt == nil || !r.Attempt.Answered() || !w.TrippedAt.Equal(*r.TrippedAt) {
		return
	}
	w.TrippedAt = nil
	if d := s.drains[w.ID]; d != nil {
		d.wake()
	}
}

// applyHealth changes the health of the attempt's webhook (S14).
func (s *Store) applyHealth(r *hook.Record) {
	ok, w := r.Attempt.Succeeded(), s.webhooks[r.Delivery.WebhookID]
	switch {
	case w == nil, r.Delivery.Test, ok && r.Healthy, !ok && r.Attempt.Manual && r.Verdict.Disable == "":
		return
	case ok:
		w.Health, w.failingSince, w.failures, w.failedDays, w.failedOn = hook.HealthHealthy, nil, 0, 0, ""
		return
	}
	if final := !r.Verdict.Retry && !r.Attempt.Manual; final || w.Health == hook.HealthFailed {
		w.Health = hook.HealthFailed
	} else {
		w.Health = hook.HealthFailing
	}
	s.countFailure(w)
	reason := r.Verdict.Disable
	if reason == "" && s.failedForLong(w) {
		reason = hook.ReasonFailedDays
	}
	if reason == "" || !w.Active {
		return
	}
	w.DisabledReason = reason
	s.disable(w)
}

// countFailure counts a failure towards disabling the webhook.
func (s *Store) countFailure(w *webhook) {
	now := s.now()
	if w.failingSince == nil {
		w.failingSince, w.failures, w.failedDays, w.failedOn = &now, 0, 0, ""
	}
	w.failures++
	if today := now.UTC().Format(time.DateOnly); w.failedOn != today {
		w.failedDays, w.failedOn = w.failedDays+1, today
	}
}

// failedForLong reports whether a webhook has failed for long enough to be disabled.
func (s *Store) failedForLong(w *webhook) bool {
	return s.now().Sub(*w.failingSince) > hook.DisableAfter && w.failures >= hook.DisableAttempts && w.failedDays >= hook.DisableDays
}

// Webhook returns the webhook in its current state; nil if it was deleted.
func (s *Store) Webhook(id hook.WebhookID) *hook.Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.webhooks[id]
	if !ok {
		return nil
	}
	found := w.Webhook
	return &found
}

// Deliveries returns the deliveries of the webhook, in order of creation.
func (s *Store) Deliveries(id hook.WebhookID) []hook.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []hook.Delivery
	for _, d := range s.order {
		if s.deliveries[d].WebhookID == id {
			list = append(list, s.shown(s.deliveries[d]))
		}
	}
	return list
}

// Delivery returns the webhook's first delivery.
func (s *Store) Delivery(id hook.WebhookID) hook.Delivery { return s.Deliveries(id)[0] }

// Log returns the recorded attempts of the delivery, in order.
func (s *Store) Log(id hook.DeliveryID) []hook.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	var log []hook.Attempt
	for i := range s.log {
		if s.log[i].DeliveryID == id {
			log = append(log, s.log[i])
		}
	}
	return log
}

// Batches returns how many attempts each call of Record wrote.
func (s *Store) Batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Slices returns how many different slices were requested.
func (s *Store) Slices() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.slices)
}

// SetNextAttempt moves the next attempt of the webhook's deliveries.
func (s *Store) SetNextAttempt(id hook.WebhookID, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deliveries {
		if d.WebhookID == id && d.Outstanding() {
			d.NextAttemptAt = &at
		}
	}
}

// Shown returns the delivery as a client sees it.
func (s *Store) Shown(id hook.DeliveryID) hook.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown(s.deliveries[id])
}
