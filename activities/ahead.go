package activities

import (
	"context"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Ahead begins to load an event's deliveries while its workflow is being started,
// for a DeliverFirst in this process: what is not asked for soon is forgotten, and
// what is not here is loaded as ever.
func (a *Activities) Prefetch(ctx context.Context, event hook.EventID) {
	l, ok := a.ahead.add(event, a.now())
	if !ok {
		return
	}
	go func() {
		defer close(l.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), aheadTimeout)
		defer cancel()
		// An error is met again by whoever loads it then.
		l.jobs, _ = a.store.Outstanding(ctx, []hook.EventID{event}, 0, 1)
	}()
}

const (
	// mostAhead bounds what is held for workflows that start elsewhere.
	mostAhead = 256
	// aheadTimeout is when whoever wants it would rather load it anew.
	aheadTimeout = staleAfter
)

// ahead holds what has been loaded for workflows that are being started.
type ahead struct {
	mu     sync.Mutex
	events map[hook.EventID]*loading
}

// loading is what is being loaded; jobs may be read once done is closed.
type loading struct {
	since time.Time
	done  chan struct{}
	jobs  []hook.Job
}

func (a *ahead) add(event hook.EventID, now time.Time) (*loading, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.events) >= mostAhead {
		for id, l := range a.events {
			if now.Sub(l.since) >= staleAfter {
				delete(a.events, id)
			}
		}
	}
	if len(a.events) >= mostAhead || a.events[event] != nil {
		return nil, false
	}
	l := &loading{since: now, done: make(chan struct{})}
	a.events[event] = l
	return l, true
}

// take returns what was loaded of the event, once; nil if there is nothing, or it is
// too old to be trusted.
func (a *ahead) take(ctx context.Context, event hook.EventID, now time.Time) []hook.Job {
	a.mu.Lock()
	l := a.events[event]
	delete(a.events, event)
	a.mu.Unlock()
	if l == nil || now.Sub(l.since) >= staleAfter {
		return nil
	}
	select {
	case <-l.done:
		return l.jobs
	case <-ctx.Done():
		return nil
	}
}
