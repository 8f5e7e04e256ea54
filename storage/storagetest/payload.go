package storagetest

import (
	"bytes"
	"context"
	"time"

	"grapnel/internal/hook"
)

// Payloads loads the data of events. Each call returns copies.
func (s *Store) Payloads(ctx context.Context, events []hook.EventID) (map[hook.EventID][]byte, error) {
	if err := s.failing(ctx, OpPayloads); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	payloads := map[hook.EventID][]byte{}
	var loaded []int
	for _, id := range events {
		if e, ok := s.events[id]; ok {
			payloads[id] = bytes.Clone(e.Data)
			loaded = append(loaded, len(e.Data))
		}
	}
	s.loads = append(s.loads, loaded)
	return payloads, nil
}

// Loads returns, for each call of Payloads, the sizes of the payloads that it has loaded.
func (s *Store) Loads() [][]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]int(nil), s.loads...)
}

// LoseKey makes a webhook's secrets fail with err; nil makes them readable again.
func (s *Store) LoseKey(id hook.WebhookID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhooks[id].unreadable = err
}

// ExpireUnreadable fails the deliveries that have waited for longer than age. The caller could not read their
// secrets.
func (s *Store) ExpireUnreadable(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	var expired []hook.DeliveryID
	err := s.change(ctx, OpUnreadable, ids, func(d *hook.Delivery) bool {
		w := s.webhooks[d.WebhookID]
		if w == nil || d.Test || d.State == hook.StateSending || s.now().Sub(w.waitingSince(d)) <= age {
			return false
		}
		d.State, d.Error, d.NextAttemptAt = hook.StateFailed, hook.TextSecretUnavailable, nil
		w.Health = hook.HealthFailed
		expired = append(expired, d.ID)
		return true
	})
	return hook.Ended{Deliveries: expired}, err
}
