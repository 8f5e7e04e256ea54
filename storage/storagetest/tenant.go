package storagetest

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

// SuspendTenant suspends the tenant, or makes it active again (K8): all of its webhooks are held, or released.
func (s *Store) SuspendTenant(suspend bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if suspend == (s.suspendedAt != nil) {
		return
	}
	now := s.now()
	s.suspendedAt = nil
	if suspend {
		s.suspendedAt = &now
	}
	for id, w := range s.webhooks {
		if was := w.SuspendedAt; !suspend && was != nil {
			w.resumedAt = now
			w.moveFailing(*was, now)
		}
		w.SuspendedAt = s.suspendedAt
		w.Version++
		if d := s.drains[id]; d != nil {
			d.wake()
		}
	}
}

// deletion is the deletion of the tenant.
type deletion struct {
	hook.DeletionStep
	// due is when it said that it would look again.
	due time.Time
}

// DeleteTenant begins the deletion of the tenant.
func (s *Store) DeleteTenant() {
	s.SuspendTenant(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deletion = &deletion{DeletionStep: hook.DeletionStep{Deletion: hook.Deletion{RequestedAt: s.now(), Phase: hook.DeletionCanceling}}}
}

// The sizes of a step, as in storage.
const (
	deletedWebhooks = 20
	erasedEvents    = 200
)

// DeletionStep makes the next step of the tenant's deletion.
func (s *Store) DeletionStep(ctx context.Context, tenant hook.TenantID) (hook.DeletionStep, error) {
	if err := s.failing(ctx, OpDeletionStep); err != nil {
		return hook.DeletionStep{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deletion
	if d == nil || tenant != hook.DefaultTenant() {
		return hook.DeletionStep{}, hook.NoTenant()
	}
	d.UpdatedAt, d.Waiting = s.now(), false
	switch d.Phase {
	case hook.DeletionCanceling:
		s.deleteWebhooks(d)
	case hook.DeletionErasing:
		s.eraseEvents(d)
	case hook.DeletionFinishing:
		clear(s.replays)
		d.Gone, s.deletion = true, nil
	}
	return d.DeletionStep, nil
}

func (s *Store) deleteWebhooks(d *deletion) {
	if len(s.webhooks) == 0 {
		d.Phase = hook.DeletionErasing
		return
	}
	n := 0
	for id := range s.webhooks {
		if n++; n > deletedWebhooks {
			return
		}
		delete(s.webhooks, id)
		d.Webhooks++
	}
	for _, one := range s.deliveries {
		if reason := s.revoked(one); reason != "" {
			s.cancel(one, reason)
			d.Canceled++
		}
	}
}

func (s *Store) eraseEvents(d *deletion) {
	if len(s.events) == 0 {
		d.Phase = hook.DeletionFinishing
		return
	}
	n := 0
	for id := range s.events {
		if n++; n > erasedEvents {
			break
		}
		delete(s.events, id)
		d.Events++
	}
	var rest []hook.DeliveryID
	for _, id := range s.order {
		if _, kept := s.events[s.deliveries[id].EventID]; kept {
			rest = append(rest, id)
			continue
		}
		delete(s.deliveries, id)
		d.Deliveries++
	}
	s.order = rest
}

// DeletionSleeps notes when the deletion will look again.
func (s *Store) DeletionSleeps(ctx context.Context, _ hook.TenantID, in time.Duration) error {
	if err := s.failing(ctx, OpDeletionSleeps); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deletion != nil {
		s.deletion.due = s.now().Add(in)
	}
	return nil
}

// DeletionDue returns when the deletion said that it would look again; zero if there is none.
func (s *Store) DeletionDue() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deletion == nil {
		return time.Time{}
	}
	return s.deletion.due
}
