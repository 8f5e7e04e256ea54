package storagetest

import (
	"context"
	"hash/fnv"
	"slices"

	"grapnel/internal/hook"
)

// Outstanding loads the events' deliveries that have an attempt to come, due or not.
func (s *Store) Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error) {
	if err := s.failing(ctx, OpOutstanding); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slices[[2]int{slice, of}] = true
	var jobs []hook.Job
	for _, d := range s.of(events, slice, of) {
		if d.Outstanding() && !d.Deferred {
			jobs = append(jobs, s.job(d))
		}
	}
	return jobs, nil
}

// States loads the events' deliveries in any state, without those of replays.
func (s *Store) States(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Delivery, error) {
	if err := s.failing(ctx, OpStates); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []hook.Delivery
	for _, d := range s.of(events, slice, of) {
		if d.ReplayID == (hook.ReplayID{}) {
			list = append(list, s.shown(d))
		}
	}
	return list, nil
}

// Job loads one delivery in any state.
func (s *Store) Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error) {
	if err := s.failing(ctx, OpJob); err != nil {
		return hook.Job{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.deliveries[id]
	if !ok {
		return hook.Job{}, hook.NotFound("delivery")
	}
	return s.job(d), nil
}

// CancelDeliveries ends deliveries without another attempt.
func (s *Store) CancelDeliveries(ctx context.Context, ids []hook.DeliveryID, reason string) error {
	if err := s.failing(ctx, OpCancel); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if d := s.deliveries[id]; d != nil && d.Outstanding() {
			s.cancel(d, reason)
		}
	}
	return nil
}

// of returns the deliveries of a slice in order of creation, without tests.
func (s *Store) of(events []hook.EventID, slice, of int) []*hook.Delivery {
	var list []*hook.Delivery
	for _, id := range s.order {
		d := s.deliveries[id]
		if !d.Test && slices.Contains(events, d.EventID) && (of == 1 || sliceOf(id, of) == slice) {
			list = append(list, d)
		}
	}
	return list
}

func sliceOf(id hook.DeliveryID, of int) int {
	h := fnv.New32a()
	_, _ = h.Write(id[:]) // a hash never fails
	return int(h.Sum32()>>1) % of
}

func (s *Store) job(d *hook.Delivery) hook.Job {
	job := hook.Job{Delivery: *d, Event: s.events[d.EventID], ReadAt: s.now()}
	if d.NextAttemptAt != nil {
		job.DueIn = d.NextAttemptAt.Sub(s.now())
	}
	if n := len(job.Event.Data); n > hook.MaxInline {
		job.Event.Data, job.PayloadSize = nil, n
	}
	if w, ok := s.webhooks[d.WebhookID]; ok {
		found := w.Webhook
		job.Webhook, job.Err = &found, w.unreadable
		if w.unreadable != nil {
			job.Webhook.Secret = ""
		}
	}
	return job
}
