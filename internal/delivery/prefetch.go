package delivery

import (
	"context"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Prefetch begins to load an event's deliveries while its workflow is being started, for
// DeliverInline in this process. It forgets deliveries that are not soon asked for;
// DeliverInline loads deliveries that were not prefetched.
func (e *Engine) Prefetch(ctx context.Context, event hook.EventID) {
	l, ok := e.prefetch.add(event, e.now())
	if !ok {
		return
	}
	go func() {
		defer close(l.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), prefetchTimeout)
		defer cancel()
		// After an error DeliverInline loads the deliveries again, and meets the error.
		l.jobs, _ = e.store.Outstanding(ctx, []hook.EventID{event}, 0, 1)
	}()
}

const (
	// maxPrefetched bounds the events that are kept for workflows that start elsewhere.
	maxPrefetched = 256
	// prefetchTimeout is the time after which the jobs would be too old to be used.
	prefetchTimeout = staleAfter
)

// prefetch holds the deliveries of events whose workflows are being started.
type prefetch struct {
	mu     sync.Mutex
	events map[hook.EventID]*loading
}

// loading is one load; jobs may be read once done is closed.
type loading struct {
	since time.Time
	done  chan struct{}
	jobs  []hook.Job
}

func (p *prefetch) add(event hook.EventID, now time.Time) (*loading, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) >= maxPrefetched {
		for id, l := range p.events {
			if now.Sub(l.since) >= staleAfter {
				delete(p.events, id)
			}
		}
	}
	if len(p.events) >= maxPrefetched || p.events[event] != nil {
		return nil, false
	}
	l := &loading{since: now, done: make(chan struct{})}
	p.events[event] = l
	return l, true
}

// take returns the prefetched deliveries of the event, and forgets them; nil if there are none
// or they are too old.
func (p *prefetch) take(ctx context.Context, event hook.EventID, now time.Time) []hook.Job {
	p.mu.Lock()
	l := p.events[event]
	delete(p.events, event)
	p.mu.Unlock()
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
