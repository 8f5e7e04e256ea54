package dispatch

import (
	"sync"

	"grapnel/internal/hook"
)

// pending are the events that a starter has on its hands: waiting for a start, being
// started, or started and not yet marked. A sweeper of the same process leaves them to
// it; one of another process can't know, and finds what is started.
type pending struct {
	mu     sync.Mutex
	events map[hook.EventID]struct{}
}

func (p *pending) add(e hook.EventID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.events == nil {
		p.events = map[hook.EventID]struct{}{}
	}
	p.events[e] = struct{}{}
}

func (p *pending) remove(events ...hook.EventID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		delete(p.events, e)
	}
}

// all are those of the moment; nil is none.
func (p *pending) all() []hook.EventID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []hook.EventID
	for e := range p.events {
		all = append(all, e)
	}
	return all
}
