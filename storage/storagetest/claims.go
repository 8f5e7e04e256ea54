package storagetest

import (
	"context"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// ClaimDeliveries claims the deliveries that are pending or already have this claim, and whose webhook still has
// the version.
func (s *Store) ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error) {
	var ids, claimed []hook.DeliveryID
	versions := map[hook.DeliveryID]int64{}
	for _, w := range list {
		ids, versions[w.ID] = append(ids, w.ID), w.Version
	}
	err := s.change(ctx, OpClaim, ids, func(d *hook.Delivery) bool {
		if d.State != hook.StatePending && (d.State != hook.StateSending || s.claims[d.ID] != claim) {
			return false
		}
		if w := s.webhooks[d.WebhookID]; w == nil || w.Version != versions[d.ID] {
			return false
		}
		d.State, s.claims[d.ID] = hook.StateSending, claim
		claimed = append(claimed, d.ID)
		return true
	})
	return claimed, err
}

// ReleaseDeliveries ends a claim whose deliveries were not sent.
func (s *Store) ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) error {
	return s.change(ctx, OpRelease, ids, func(d *hook.Delivery) bool {
		if d.State != hook.StateSending || s.claims[d.ID] != claim {
			return false
		}
		d.State = hook.StatePending
		delete(s.claims, d.ID)
		return true
	})
}

// DropDeliveries ends the deliveries whose claim is older than age, and returns them.
func (s *Store) DropDeliveries(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	var dropped []hook.DeliveryID
	err := s.change(ctx, OpDrop, ids, func(d *hook.Delivery) bool {
		if d.State != hook.StateSending || s.now().Sub(d.UpdatedAt) < age {
			return false
		}
		d.State, d.Error, d.NextAttemptAt = hook.StateDropped, hook.TextDropped, nil
		dropped = append(dropped, d.ID)
		return true
	})
	return hook.Ended{Deliveries: dropped}, err
}

// Abandon claims an outstanding delivery for a worker that died during the request, so long ago.
func (s *Store) Abandon(id hook.DeliveryID, ago time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries[id].State, s.claims[id] = hook.StateSending, hook.Claim{1}
	s.deliveries[id].UpdatedAt = s.now().Add(-ago)
}

// BeginTest claims a test that is about to be sent. It returns false if the test was dropped.
func (s *Store) BeginTest(ctx context.Context, id hook.DeliveryID, claim hook.Claim) (bool, error) {
	if err := s.failing(ctx, OpBeginTest); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.deliveries[id]; d == nil || !d.Test {
		return false, nil
	}
	s.claims[id] = claim
	return true, nil
}

// DropTest removes a test that has not begun, as the API does after its time-out.
func (s *Store) DropTest(id hook.DeliveryID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deliveries[id]
	if _, begun := s.claims[id]; d == nil || !d.Test || d.Attempts > 0 || begun {
		return
	}
	delete(s.events, d.EventID)
	delete(s.deliveries, id)
	s.order = slices.DeleteFunc(s.order, func(other hook.DeliveryID) bool { return other == id })
}

// change applies how to the outstanding deliveries in ids.
func (s *Store) change(ctx context.Context, op string, ids []hook.DeliveryID, how func(*hook.Delivery) bool) error {
	if err := s.failing(ctx, op); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if d := s.deliveries[id]; d != nil && d.Outstanding() && how(d) {
			d.UpdatedAt = s.now()
		}
	}
	return nil
}
