package storagetest

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

// replay is a replay and the state of its workflow.
type replay struct {
	hook.Replay
	*sleeper
}

// AddReplay starts a replay of all events of which the webhook has no delivery.
func (s *Store) AddReplay(webhook hook.WebhookID, rate int) hook.ReplayID {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &replay{hook.Replay{
		ID: s.nextID(), TenantID: hook.DefaultTenant(), WebhookID: webhook, Status: hook.ReplayMissing, Rate: rate,
		State: hook.ReplayRunning, Until: s.now(), CreatedAt: s.now(), UpdatedAt: s.now(),
	}, newSleeper()}
	s.replays[r.ID] = r
	return r.ID
}

// ChangeReplay changes a replay. A replay that becomes canceled ends its outstanding deliveries.
func (s *Store) ChangeReplay(id hook.ReplayID, change func(*hook.Replay)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replays[id]
	change(&r.Replay)
	r.wake()
	if r.State == hook.ReplayCanceled {
		s.endReplay(&r.Replay)
		for _, d := range s.deliveries {
			if d.ReplayID == id && d.Outstanding() {
				s.cancel(d, hook.TextReplayCanceled)
			}
		}
		if w := s.webhooks[r.WebhookID]; w != nil {
			w.Version++ // so that every run that has loaded the deliveries loads them again
		}
	}
}

// Replay returns the replay in its current state.
func (s *Store) Replay(id hook.ReplayID) hook.Replay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replays[id].Replay
}

// cancelReplay cancels the replay of a webhook that has ended; its deliveries are revoked.
func (s *Store) cancelReplay(r *hook.Replay, reason string) {
	r.State, r.Reason = hook.ReplayCanceled, reason
	s.endReplay(r)
}

func (s *Store) endReplay(r *hook.Replay) {
	now := s.now()
	r.EndedAt = &now
}

// ReplayStep creates deferred deliveries for events that the webhook has none of, as many as the replay's rate
// allows.
func (s *Store) ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error) {
	if err := s.failing(ctx, OpReplayStep); err != nil {
		return hook.ReplayStep{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replays[id]
	if r == nil {
		return hook.ReplayStep{}, hook.NotFound("replay")
	}
	r.looks()
	step := hook.ReplayStep{Changes: r.changes}
	switch w := s.webhooks[r.WebhookID]; {
	case r.State != hook.ReplayRunning:
	case w == nil:
		s.cancelReplay(&r.Replay, hook.TextWebhookDeleted)
	case !w.Active:
		s.cancelReplay(&r.Replay, hook.TextWebhookDisabled)
	default:
		s.replayOn(&r.Replay, &step, max(r.Rate-made, 1))
	}
	if r.Ended() {
		step.Progress = s.progress(id)
	}
	step.Replay = r.Replay
	return step, nil
}

// progress counts the replay's deliveries by state; the caller holds the lock.
func (s *Store) progress(id hook.ReplayID) (p hook.ReplayProgress) {
	for _, d := range s.deliveries {
		switch {
		case d.ReplayID != id:
		case s.revoked(d) != "":
			p.Canceled++
		case d.Outstanding():
			p.Outstanding++
		case d.State == hook.StateSuccess:
			p.Succeeded++
		case d.State == hook.StateCanceled:
			p.Canceled++
		default:
			p.Failed++
		}
	}
	return p
}

func (s *Store) replayOn(r *hook.Replay, step *hook.ReplayStep, limit int) {
	had := map[hook.EventID]bool{}
	for _, d := range s.deliveries {
		if d.WebhookID == r.WebhookID {
			had[d.EventID] = true
		}
	}
	step.Exhausted = true
	for _, e := range s.events {
		if had[e.ID] || e.Test {
			continue
		}
		if step.Created == limit {
			step.Exhausted = false
			break
		}
		d := s.deliver(e, r.WebhookID, false)
		d.Deferred, d.ReplayID = true, r.ID
		step.Created++
		step.Looked++
	}
	r.Created, r.Looked = r.Created+step.Created, r.Looked+step.Looked
	if step.Created > 0 {
		if s.deferring(r.WebhookID) {
			step.Undrained = []hook.WebhookID{r.WebhookID}
		}
	}
	step.Progress = s.progress(r.ID)
	if step.Exhausted && step.Progress.Outstanding == 0 {
		r.State = hook.ReplayCompleted
		s.endReplay(r)
	}
}

// ReplaySleeps notes that the replay sleeps. It returns false if the replay was changed since.
func (s *Store) ReplaySleeps(ctx context.Context, id hook.ReplayID, _ time.Duration, changes int64) (bool, error) {
	if err := s.failing(ctx, OpReplaySleeps); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replays[id]
	return r != nil && !r.woken && r.changes == changes, nil
}

// ReplayWoken returns a channel that is closed when the replay must look now; nil if there is none.
func (s *Store) ReplayWoken(id hook.ReplayID) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.replays[id]; r != nil {
		return r.awake
	}
	return nil
}
