package storagetest

import (
	"context"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// Record writes attempts and moves deliveries and webhooks on, by the rules of
// storage.Record.
func (s *Store) Record(ctx context.Context, records []hook.Record) (hook.Recorded, error) {
	if err := s.failing(ctx, OpRecord); err != nil {
		return hook.Recorded{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, len(records))
	list := make([]hook.Delivery, 0, len(records))
	moved := make([]*hook.Delivery, 0, len(records))
	for i := range records {
		if d, ok := s.deliveries[records[i].Delivery.ID]; ok {
			s.move(d, &records[i])
			moved = append(moved, d)
		}
	}
	for i := range records {
		s.prove(&records[i])
		s.health(&records[i])
	}
	// What health has disabled just now revokes some of them.
	for _, d := range moved {
		if reason := s.revoked(d); reason != "" {
			s.cancel(d, reason)
		}
		list = append(list, *d)
	}
	return hook.Recorded{Deliveries: list}, nil
}

func (s *Store) move(d *hook.Delivery, r *hook.Record) {
	if slices.ContainsFunc(s.log, func(a hook.Attempt) bool { return a.DeliveryID == d.ID && a.ID == r.Attempt.ID }) {
		return // it was recorded before
	}
	if reason := s.revoked(d); reason != "" && !r.Attempt.Succeeded() {
		s.cancel(d, reason)
	}
	canceled := d.State == hook.StateCanceled && r.Delivery.State != hook.StateCanceled
	a, now, pending := &r.Attempt, s.now(), d.Outstanding()
	done := a.Succeeded() || d.State == hook.StateSuccess
	d.Attempts++
	if !a.Manual && d.Scheduled < hook.MaxAttempts {
		d.Scheduled++
	}
	if a.StatusCode != 0 {
		d.StatusCode = a.StatusCode
	}
	switch {
	case done:
		d.State, d.Error, d.NextAttemptAt = hook.StateSuccess, "", nil
	case canceled:
	case a.Manual:
		d.State, d.Error = hook.StateFailed, a.Error
	case pending:
		d.State, d.Error, d.NextAttemptAt = r.Verdict.State, a.Error, nil
		if r.Verdict.Retry {
			at := a.StartedAt.Add(a.Duration + r.Verdict.RetryIn)
			if at.Before(now) {
				at = now
			}
			d.NextAttemptAt = &at
		}
	}
	if a.Succeeded() && d.DeliveredAt == nil {
		d.DeliveredAt = &now
	}
	d.UpdatedAt = now
	logged := *a
	logged.Number = d.Attempts
	s.log = append(s.log, logged)
}

// prove closes the breaker through which an answer came, and wakes the drain.
func (s *Store) prove(r *hook.Record) {
	w := s.webhooks[r.Delivery.WebhookID]
	if w == nil || r.TrippedAt == nil || w.TrippedAt == nil || !r.Attempt.Answered() || !w.TrippedAt.Equal(*r.TrippedAt) {
		return
	}
	w.TrippedAt = nil
	if d := s.drains[w.ID]; d != nil {
		d.wake()
	}
}

func (s *Store) health(r *hook.Record) {
	ok := r.Attempt.Succeeded()
	w := s.webhooks[r.Delivery.WebhookID]
	if w == nil || r.Delivery.Test || ok && r.Healthy {
		return
	}
	now := s.now()
	today := now.UTC().Format(time.DateOnly)
	if ok {
		w.Health, w.failingSince, w.failures, w.failedDays, w.failedOn = hook.HealthHealthy, nil, 0, 0, ""
		return
	}
	final := !r.Verdict.Retry && !r.Attempt.Manual
	if final || w.Health == hook.HealthFailed {
		w.Health = hook.HealthFailed
	} else {
		w.Health = hook.HealthFailing
	}
	if w.failingSince == nil {
		w.failingSince, w.failures, w.failedDays, w.failedOn = &now, 0, 0, ""
	}
	w.failures++
	if w.failedOn != today {
		w.failedDays, w.failedOn = w.failedDays+1, today
	}
	reason := r.Verdict.Disable
	if reason == "" && now.Sub(*w.failingSince) > hook.DisableAfter && w.failures >= hook.DisableAttempts && w.failedDays >= hook.DisableDays {
		reason = hook.ReasonFailedDays
	}
	if reason == "" || !w.Active {
		return
	}
	w.DisabledReason = reason
	s.disable(w)
}

// Webhook is the webhook as it stands; nil if it is gone.
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

// Deliveries are those of the webhook, in the order they were made.
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

// Delivery is the webhook's first delivery.
func (s *Store) Delivery(id hook.WebhookID) hook.Delivery { return s.Deliveries(id)[0] }

// Log is every attempt of the delivery that was recorded, in that order.
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

// Batches are how many attempts each call of Record wrote.
func (s *Store) Batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Slices is how many different slices were asked for.
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
