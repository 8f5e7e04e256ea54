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
	// maxInLockQueues and maxLockQueueBytes bound all items in quarantine, and maxQuarantined bounds the locks that
	// are known to be stuck.
	maxInLockQueues   = 5_000
	maxLockQueueBytes = 16 << 20
	maxQuarantined    = 10_000
	// queueLockWait is how long a queue's statement waits for its lock if no other queue waits for its turn.
	queueLockWait = sessionLockTimeout
	// minQueueLockWait is how long it waits if many queues wait for their turn.
	minQueueLockWait = 100 * time.Millisecond
)

// lockQueues are the locks that stay taken. One connection of the group works through them, queue by queue. A lock
// leaves quarantine with the first statement that gets it.
type lockQueues[T any] struct {
	byLock map[rowLock]*lockQueue[T]
	// turns are the queues that have members, in the order of their turns.
	turns []*lockQueue[T]
	// members and bytes are the size of all queues.
	members, bytes int
	running        bool
}

// lockQueue holds the items that need one lock which stays taken.
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

// lockQueueOf returns the queue in which an item has to wait; nil if none of its locks is stuck.
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

// quarantine moves members, which all need the same locks, into queues where they delay nobody else. err is the error
// with which they were stuck.
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

// enqueueBehind puts a member into a lock's queue, or refuses it if the queue is full.
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

// removeAbandoned removes abandoned members from the queues.
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

// runLockQueues works through the queues until all are empty.
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

// nextLockQueue returns the next queue, as many of its members as share a statement, and how long the statement is to
// wait for the lock.
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

// release ends the quarantine of a lock that was acquired. The queue's members go on as usual.
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
