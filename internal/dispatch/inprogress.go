package dispatch

import (
	"sync"

	"grapnel/internal/hook"
)

// inProgress is the set of events that a starter works on: queued, being started, or started and not yet removed from
// the outbox. The sweeper of the same process leaves them to the starter. A sweeper of another process cannot know
// them, and finds their workflows running.
type inProgress struct {
	mu     sync.Mutex
	events map[hook.EventID]struct{}
}

func (p *inProgress) add(e hook.EventID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.events == nil {
		p.events = map[hook.EventID]struct{}{}
	}
	p.events[e] = struct{}{}
}

func (p *inProgress) remove(events ...hook.EventID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		delete(p.events, e)
	}
}

// all returns the events of this moment; nil if there are none.
func (p *inProgress) all() []hook.EventID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []hook.EventID
	for e := range p.events {
		all = append(all, e)
	}
	return all
}
