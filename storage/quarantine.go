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
	// maxInLockQueue is how many items wait for one lock.
	maxInLockQueue = 500
	// maxInLockQueues and maxLockQueueBytes bound all that wait in quarantine, and
	// maxQuarantined the locks that are known to be stuck.
	maxInLockQueues   = 5_000
	maxLockQueueBytes = 16 << 20
	maxQuarantined    = 10_000
	// queueLockWait is how long a ward's statement waits for its lock, where no other
	// ward waits for its turn.
	queueLockWait = sessionLockTimeout
	// minQueueLockWait is how long it waits where many do.
	minQueueLockWait = 100 * time.Millisecond
)

// wards are the locks that stay held, for one connection of the group's: their items
// are done ward by ward. A lock leaves quarantine with the first statement that gets it.
type lockQueues[T any] struct {
	byLock map[rowLock]*lockQueue[T]
	// turns are the wards that have members, in the order of their turns.
	turns []*lockQueue[T]
	// members and bytes are what waits in all wards.
	members, bytes int
	running        bool
}

// ward is where the items wait that need a lock that stays held.
type lockQueue[T any] struct {
	lock    rowLock
	members []*member[T]
}

func (g *group[T]) locksOf(item T) []rowLock {
	if g.locks == nil {
		return nil
	}
	return g.locks(item)
}

// lockQueueOf is the ward in which an item has to wait; nil if none of its locks is stuck.
func (g *group[T]) lockQueueOf(item T) *lockQueue[T] {
	if len(g.lockQueues.byLock) == 0 {
		return nil
	}
	for _, k := range g.locksOf(item) {
		if w := g.lockQueues.byLock[k]; w != nil {
			return w
		}
	}
	return nil
}

// quarantine moves members, all of which need the same locks, to where they hold up
// nobody else: err is how they were stuck.
func (g *group[T]) quarantine(members []*member[T], err error) {
	locks := g.locksOf(members[0].item)
	if len(locks) > 1 && g.stillLocked != nil {
		ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
		defer cancel()
		held, failed := g.stillLocked(ctx, locks)
		if failed != nil || len(held) == 0 { // it is let go by now: the caller may try again
			resolve(members, err)
			return
		}
		locks = held
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lockQueues.byLock)+len(locks) > maxQuarantined {
		maps.DeleteFunc(g.lockQueues.byLock, func(_ rowLock, w *lockQueue[T]) bool { return len(w.members) == 0 })
	}
	if g.lockQueues.byLock == nil {
		g.lockQueues.byLock = map[rowLock]*lockQueue[T]{}
	}
	for _, k := range locks {
		if g.lockQueues.byLock[k] == nil && len(g.lockQueues.byLock) < maxQuarantined {
			g.lockQueues.byLock[k] = &lockQueue[T]{lock: k}
		}
	}
	for _, m := range members {
		if w := g.lockQueueOf(m.item); w != nil && !m.abandoned {
			g.enqueueBehind(w, m)
		} else {
			resolve([]*member[T]{m}, err)
		}
	}
}

// admit has a member wait in a ward, or refuses it where too many do.
func (g *group[T]) enqueueBehind(w *lockQueue[T], m *member[T]) {
	_, bytes := g.size(m.item)
	if len(w.members) >= maxInLockQueue || g.lockQueues.members >= maxInLockQueues || g.lockQueues.bytes+bytes > maxLockQueueBytes {
		resolve([]*member[T]{m}, &hook.Error{
			Kind: hook.KindUnavailable, Message: "too much is waiting for the same topic, key or webhook", RetryAfter: 2 * time.Second,
		})
		return
	}
	if len(w.members) == 0 {
		g.lockQueues.turns = append(g.lockQueues.turns, w)
	}
	w.members = append(w.members, m)
	g.lockQueues.members, g.lockQueues.bytes = g.lockQueues.members+1, g.lockQueues.bytes+bytes
	if !g.lockQueues.running {
		g.lockQueues.running = true
		go g.runLockQueues()
	}
}

// dismiss takes those who have left out of the wards.
func (g *group[T]) removeAbandoned() {
	for _, w := range g.lockQueues.turns {
		for _, m := range w.members {
			if m.abandoned {
				g.discount(m)
			}
		}
		w.members = slices.DeleteFunc(w.members, (*member[T]).isAbandoned)
	}
	g.lockQueues.turns = slices.DeleteFunc(g.lockQueues.turns, func(w *lockQueue[T]) bool { return len(w.members) == 0 })
}

func (g *group[T]) discount(m *member[T]) {
	_, bytes := g.size(m.item)
	g.lockQueues.members, g.lockQueues.bytes = g.lockQueues.members-1, g.lockQueues.bytes-bytes
}

// attend does ward after ward until nothing waits in any.
func (g *group[T]) runLockQueues() {
	for {
		w, batch, wait := g.nextLockQueue()
		if w == nil {
			return
		}
		err := g.doAll(batch, wait)
		if isStuck(err) {
			resolve(batch, err)
			continue
		}
		if err == nil || isUnavailable(err) {
			resolve(batch, err)
		}
		if !isUnavailable(err) {
			g.release(w)
		}
		if err != nil && !isUnavailable(err) {
			p := &splitter[T]{group: g, until: time.Now().Add(splitTimeout)}
			p.split(batch, err)
		}
	}
}

// nextLockQueue is the ward whose turn it is, as many of its members as share a statement,
// and how long that is to wait for the lock.
func (g *group[T]) nextLockQueue() (*lockQueue[T], []*member[T], time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lockQueues.turns) == 0 {
		g.lockQueues.turns, g.lockQueues.running = nil, false
		return nil, nil, 0
	}
	wait := max(queueLockWait/time.Duration(len(g.lockQueues.turns)), minQueueLockWait)
	w := g.lockQueues.turns[0]
	g.lockQueues.turns = g.lockQueues.turns[1:]
	n, total := 0, 0
	for n < len(w.members) {
		weight := g.weigh(w.members[n].item)
		if n > 0 && total+weight > g.maxWeight {
			break
		}
		n, total = n+1, total+weight
		g.discount(w.members[n-1])
	}
	batch := w.members[:n:n]
	if w.members = w.members[n:]; len(w.members) > 0 {
		g.lockQueues.turns = append(g.lockQueues.turns, w)
	}
	return w, batch, wait
}

// release ends a ward: its lock was got. Its members go on as others do.
func (g *group[T]) release(w *lockQueue[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.lockQueues.byLock, w.lock)
	g.lockQueues.turns = slices.DeleteFunc(g.lockQueues.turns, func(other *lockQueue[T]) bool { return other == w })
	members := w.members
	w.members = nil
	for _, m := range members {
		g.discount(m)
	}
	g.place(members, false)
}
