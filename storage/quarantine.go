package storage

import (
	"context"
	"maps"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// Bounds of the quarantine.
const (
	// mostInWard is how many items wait for one lock.
	mostInWard = 500
	// mostInWards and mostWardBytes bound all that wait in quarantine, and
	// mostQuarantined the locks that are known to be stuck.
	mostInWards     = 5_000
	mostWardBytes   = 16 << 20
	mostQuarantined = 10_000
	// wardLockWait is how long a ward's statement waits for its lock, where no other
	// ward waits for its turn.
	wardLockWait = sessionLockTimeout
	// leastWardWait is how long it waits where many do.
	leastWardWait = 100 * time.Millisecond
)

// wards are the locks that stay held, for one connection of the group's: their items
// are done ward by ward. A lock leaves quarantine with the first statement that gets it.
type wards[T any] struct {
	byLock map[rowLock]*ward[T]
	// turns are the wards that have members, in the order of their turns.
	turns []*ward[T]
	// members and bytes are what waits in all wards.
	members, bytes int
	running        bool
}

// ward is where the items wait that need a lock that stays held.
type ward[T any] struct {
	lock    rowLock
	members []*member[T]
}

func (g *group[T]) locksOf(item T) []rowLock {
	if g.locks == nil {
		return nil
	}
	return g.locks(item)
}

// wardOf is the ward in which an item has to wait; nil if none of its locks is stuck.
func (g *group[T]) wardOf(item T) *ward[T] {
	if len(g.wards.byLock) == 0 {
		return nil
	}
	for _, k := range g.locksOf(item) {
		if w := g.wards.byLock[k]; w != nil {
			return w
		}
	}
	return nil
}

// quarantine moves members, all of which need the same locks, to where they hold up
// nobody else: err is how they were stuck.
func (g *group[T]) quarantine(members []*member[T], err error) {
	locks := g.locksOf(members[0].item)
	if len(locks) > 1 && g.held != nil {
		ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
		defer cancel()
		held, failed := g.held(ctx, locks)
		if failed != nil || len(held) == 0 { // it is let go by now: the caller may try again
			tell(members, err)
			return
		}
		locks = held
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.wards.byLock)+len(locks) > mostQuarantined {
		maps.DeleteFunc(g.wards.byLock, func(_ rowLock, w *ward[T]) bool { return len(w.members) == 0 })
	}
	if g.wards.byLock == nil {
		g.wards.byLock = map[rowLock]*ward[T]{}
	}
	for _, k := range locks {
		if g.wards.byLock[k] == nil && len(g.wards.byLock) < mostQuarantined {
			g.wards.byLock[k] = &ward[T]{lock: k}
		}
	}
	for _, m := range members {
		if w := g.wardOf(m.item); w != nil && !m.left {
			g.admit(w, m)
		} else {
			tell([]*member[T]{m}, err)
		}
	}
}

// admit has a member wait in a ward, or refuses it where too many do.
func (g *group[T]) admit(w *ward[T], m *member[T]) {
	_, bytes := g.size(m.item)
	if len(w.members) >= mostInWard || g.wards.members >= mostInWards || g.wards.bytes+bytes > mostWardBytes {
		tell([]*member[T]{m}, &hook.Error{
			Kind: hook.KindUnavailable, Message: "too much is waiting for the same topic, key or webhook", RetryAfter: 2 * time.Second,
		})
		return
	}
	if len(w.members) == 0 {
		g.wards.turns = append(g.wards.turns, w)
	}
	w.members = append(w.members, m)
	g.wards.members, g.wards.bytes = g.wards.members+1, g.wards.bytes+bytes
	if !g.wards.running {
		g.wards.running = true
		go g.attend()
	}
}

// dismiss takes those who have left out of the wards.
func (g *group[T]) dismiss() {
	for _, w := range g.wards.turns {
		for _, m := range w.members {
			if m.left {
				g.discount(m)
			}
		}
		w.members = slices.DeleteFunc(w.members, (*member[T]).isLeft)
	}
	g.wards.turns = slices.DeleteFunc(g.wards.turns, func(w *ward[T]) bool { return len(w.members) == 0 })
}

func (g *group[T]) discount(m *member[T]) {
	_, bytes := g.size(m.item)
	g.wards.members, g.wards.bytes = g.wards.members-1, g.wards.bytes-bytes
}

// attend does ward after ward until nothing waits in any.
func (g *group[T]) attend() {
	for {
		w, batch, wait := g.nextWard()
		if w == nil {
			return
		}
		err := g.doAll(batch, wait)
		if isStuck(err) {
			tell(batch, err)
			continue
		}
		if err == nil || isAway(err) {
			tell(batch, err)
		}
		if !isAway(err) {
			g.release(w)
		}
		if err != nil && !isAway(err) {
			p := &parting[T]{group: g, until: time.Now().Add(partingTimeout)}
			p.split(batch, err)
		}
	}
}

// nextWard is the ward whose turn it is, as many of its members as share a statement,
// and how long that is to wait for the lock.
func (g *group[T]) nextWard() (*ward[T], []*member[T], time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.wards.turns) == 0 {
		g.wards.turns, g.wards.running = nil, false
		return nil, nil, 0
	}
	wait := max(wardLockWait/time.Duration(len(g.wards.turns)), leastWardWait)
	w := g.wards.turns[0]
	g.wards.turns = g.wards.turns[1:]
	n, total := 0, 0
	for n < len(w.members) {
		weight := g.weigh(w.members[n].item)
		if n > 0 && total+weight > g.together {
			break
		}
		n, total = n+1, total+weight
		g.discount(w.members[n-1])
	}
	batch := w.members[:n:n]
	if w.members = w.members[n:]; len(w.members) > 0 {
		g.wards.turns = append(g.wards.turns, w)
	}
	return w, batch, wait
}

// release ends a ward: its lock was got. Its members go on as others do.
func (g *group[T]) release(w *ward[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.wards.byLock, w.lock)
	g.wards.turns = slices.DeleteFunc(g.wards.turns, func(other *ward[T]) bool { return other == w })
	members := w.members
	w.members = nil
	for _, m := range members {
		g.discount(m)
	}
	g.place(members, false)
}
