package storagetest

import (
	"bytes"
	"context"
	"slices"
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
	return s.addReplay(hook.Replay{WebhookID: webhook, Rate: rate})
}

// AddReplayOver starts a replay over several webhooks, nil for all: of all events of which one of them has no delivery.
func (s *Store) AddReplayOver(webhooks []hook.WebhookID, rate int) hook.ReplayID {
	return s.addReplay(hook.Replay{Many: true, WebhookIDs: webhooks, Rate: rate})
}

func (s *Store) addReplay(r hook.Replay) hook.ReplayID {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.ID, r.TenantID, r.Status, r.State = s.nextID(), hook.DefaultTenant(), hook.ReplayMissing, hook.ReplayRunning
	r.Until, r.CreatedAt, r.UpdatedAt = s.now(), s.now(), s.now()
	s.replays[r.ID] = &replay{r, newSleeper()}
	return r.ID
}

// replayedTo returns the webhooks to which a replay sends, in the order of their ids.
func (s *Store) replayedTo(r *hook.Replay) (ids []hook.WebhookID) {
	if !r.Many {
		return []hook.WebhookID{r.WebhookID}
	}
	for id, w := range s.webhooks {
		if (r.WebhookIDs == nil || slices.Contains(r.WebhookIDs, id)) && r.LeavesOut(&w.Webhook) == "" {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b hook.WebhookID) int { return bytes.Compare(a[:], b[:]) })
	return ids
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
		for _, webhook := range s.replayedTo(&r.Replay) {
			if w := s.webhooks[webhook]; w != nil {
				w.Version++ // so that every run that has loaded the deliveries loads them again
			}
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

// ReplayStep creates deferred deliveries for events that a webhook has none of, as many as the replay's rate allows for all
// its webhooks together.
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
	case r.Many && len(s.replayedTo(&r.Replay)) == 0:
		s.cancelReplay(&r.Replay, hook.TextNoWebhookLeft)
	case r.Many:
		s.replayOn(&r.Replay, &step, max(r.Rate-made, 1))
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
	type pair struct {
		event   hook.EventID
		webhook hook.WebhookID
	}
	had := map[pair]bool{}
	for _, d := range s.deliveries {
		had[pair{d.EventID, d.WebhookID}] = true
	}
	webhooks, got := s.replayedTo(r), map[hook.WebhookID]bool{}
	step.Exhausted = true
	for _, e := range s.events {
		if e.Test {
			continue
		}
		before := step.Created
		for _, webhook := range webhooks {
			if had[pair{e.ID, webhook}] {
				continue
			}
			if step.Created == limit {
				step.Exhausted = false
				break
			}
			d := s.deliver(e, webhook, false)
			d.Deferred, d.ReplayID, got[webhook] = true, r.ID, true
			step.Created++
		}
		if step.Created > before {
			step.Looked++
		}
		if !step.Exhausted {
			break
		}
	}
	r.Created, r.Looked = r.Created+step.Created, r.Looked+step.Looked
	for _, webhook := range webhooks {
		if got[webhook] && s.deferring(webhook) {
			step.Undrained = append(step.Undrained, webhook)
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
