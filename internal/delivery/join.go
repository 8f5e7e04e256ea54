package delivery

import (
	"context"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

const (
	// ownerPause is the time after which an activity asks again whether the first attempts have
	// been made.
	ownerPause = 1500 * time.Millisecond
	// ownedFor is the time after the order of an activity in which immediate attempts may still
	// be under way, whatever has become of their owner: a run ends within contract.RunTimeout,
	// and begins before its workflow does.
	ownedFor = contract.RunTimeout + loadTimeout
	// textBeingAttempted is the reason why such deliveries are outstanding, for a person.
	textBeingAttempted = "its first attempt is under way since the accept"
)

// join waits until this process has no immediate attempts of the events under way, for as long
// as an activity can wait. It returns ErrStopping if the worker stops before that.
func (e *Engine) join(ctx context.Context, w Window, events []hook.EventID) (joined bool, err error) {
	if e.immediate == nil {
		return true, nil
	}
	timer := time.NewTimer(time.Until(w.deadline.Add(-hook.MaxTimeout - recordMargin)))
	defer timer.Stop()
	for _, id := range events {
		f := e.immediate.find(id)
		if f == nil {
			continue
		}
		select {
		case <-f.done:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, ErrStopping
		case <-w.worker:
			return false, ErrStopping
		case <-w.run:
			return false, ErrStopping
		}
	}
	return true, nil
}

// find returns the first attempts of an event that are waiting or under way; nil if none are.
func (m *immediate) find(id hook.EventID) *firstAttempts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events[id]
}

// beingAttempted returns all jobs' deliveries if this process is still making first attempts of
// them (it was not joined), or if their owner may be. An owner that is dead, or that has had
// the time of the longest run, makes none.
func (e *Engine) beingAttempted(ctx context.Context, w Window, owner hook.ProcessID, joined bool, jobs []hook.Job) ([]hook.Delivery, error) {
	var list, rest []hook.Delivery
	for i := range jobs {
		if d := jobs[i].Delivery; d.Attempts > 0 {
			rest = append(rest, d)
		} else {
			d.Error = textBeingAttempted
			list = append(list, d)
		}
	}
	if joined {
		others := len(list) > 0 && e.heartbeats != nil && w.waited <= ownedFor && !e.owns(owner)
		if !others {
			return nil, nil
		}
		alive, err := e.heartbeats.ProcessAlive(ctx, owner)
		if err != nil {
			return nil, &StepError{"look for the owner of the first attempts", err}
		}
		if !alive {
			return nil, nil
		}
	}
	return append(list, rest...), nil
}

// owns reports whether the owner is this process.
func (e *Engine) owns(owner hook.ProcessID) bool {
	return e.immediate != nil && e.immediate.owner.Holds(owner)
}
