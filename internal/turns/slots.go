package turns

import (
	"context"
	"slices"
	"sync"
)

// Slots bounds how much each owner does at once. What is beyond an owner's bound waits in its order; owners don't wait
// for each other. It is safe for concurrent use.
type Slots[K comparable] struct {
	most int

	mu     sync.Mutex
	owners map[K]*slots
}

// slots are those of one owner.
type slots struct {
	taken   int
	waiting []chan struct{}
}

// NewSlots returns slots of which each owner has most.
func NewSlots[K comparable](most int) *Slots[K] {
	return &Slots[K]{most: most, owners: map[K]*slots{}}
}

// Most returns how many slots each owner has.
func (s *Slots[K]) Most() int { return s.most }

// Take takes one of the owner's slots, and waits until one is free. The error is ctx's, and then none is taken.
func (s *Slots[K]) Take(ctx context.Context, owner K) error {
	turn := s.enter(owner)
	if turn == nil {
		return nil
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		s.leave(owner, turn)
		return ctx.Err()
	}
}

// enter takes a slot, or returns a channel that is closed when the caller has one.
func (s *Slots[K]) enter(owner K) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.owners[owner]
	if o == nil {
		o = &slots{}
		s.owners[owner] = o
	}
	if o.taken < s.most {
		o.taken++
		return nil
	}
	turn := make(chan struct{})
	o.waiting = append(o.waiting, turn)
	return turn
}

// leave ends a wait. A slot that was given meanwhile goes on to the next.
func (s *Slots[K]) leave(owner K, turn chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.owners[owner]
	if at := slices.Index(o.waiting, turn); at >= 0 {
		o.waiting = slices.Delete(o.waiting, at, at+1)
		return
	}
	s.give(owner, o)
}

// Give gives a slot back that Take has taken.
func (s *Slots[K]) Give(owner K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give(owner, s.owners[owner])
}

// give passes a slot on to the next that waits for one. s.mu is locked.
func (s *Slots[K]) give(owner K, o *slots) {
	if len(o.waiting) > 0 {
		close(o.waiting[0])
		o.waiting = o.waiting[1:]
		return
	}
	if o.taken--; o.taken == 0 {
		delete(s.owners, owner)
	}
}
