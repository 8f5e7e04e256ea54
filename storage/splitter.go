package storage

import (
	"slices"
	"time"
)

const (
	// splitTimeout bounds the time for repeating a failed statement in parts: three statements that run out of time.
	// Members that are left then get the statement's error.
	splitTimeout = 3 * groupTimeout
	// partLockWait is how long a part waits for a locked row. The lock that failed the statement belongs to a session
	// that stands still; any other lock is released soon. The wait is divided by the number of stuck parts, down to
	// minPartLockWait, so that a statement with 500 taken locks takes seconds.
	partLockWait    = 200 * time.Millisecond
	minPartLockWait = 10 * time.Millisecond
)

// splitter repeats a failed statement's members in parts.
type splitter[T any] struct {
	group *group[T]
	until time.Time
	// stuck counts the parts that were stuck.
	stuck int
	// unavailable is the error that showed the store to be unavailable; nil if it is available.
	unavailable error
}

// split does a batch that failed with err in parts, and gives all its members their outcomes. If the batch was
// refused, each member is done alone. If it was stuck, the members are grouped by the locks that they need, or halved
// if they need none.
func (p *splitter[T]) split(batch []*member[T], err error) {
	stuck := isStuck(err)
	var parts [][]*member[T]
	switch {
	case stuck && len(p.group.locksOf(batch[0].item)) > 0 && p.group.alike(batch):
		p.group.quarantine(batch, err)
		return
	case len(batch) == 1:
		resolve(batch, err)
		return
	case !stuck:
		parts = slices.Collect(slices.Chunk(batch, 1))
	default:
		if parts = p.group.byLocks(batch); len(parts) == 1 {
			parts = slices.Collect(slices.Chunk(batch, (len(batch)+1)/2))
		}
	}
	for _, part := range parts {
		p.do(part, err)
	}
}

// do does one part. err is the error of the whole.
func (p *splitter[T]) do(part []*member[T], err error) {
	part = p.group.remaining(part)
	switch {
	case len(part) == 0:
		return
	case p.unavailable != nil:
		resolve(part, p.unavailable)
		return
	case time.Now().After(p.until):
		resolve(part, err)
		return
	}
	switch err := p.group.doAll(part, max(partLockWait/time.Duration(1+p.stuck), minPartLockWait)); {
	case err == nil:
		resolve(part, nil)
	case isUnavailable(err):
		p.unavailable = err
		resolve(part, err)
	default:
		if isStuck(err) {
			p.stuck++
		}
		p.split(part, err)
	}
}

// remaining returns the members that are still to be done. Abandoned members are left out: their callers were told
// that nothing is stored. Members whose locks are in quarantine by now are queued there.
func (g *group[T]) remaining(members []*member[T]) []*member[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var remain []*member[T]
	for _, m := range members {
		if m.abandoned {
			continue
		}
		if w := g.lockQueueOf(m.item); w != nil {
			g.enqueueBehind(w, m)
			continue
		}
		remain = append(remain, m)
	}
	return remain
}

// byLocks groups the members by the locks that they need, each group in the members' order.
func (g *group[T]) byLocks(members []*member[T]) [][]*member[T] {
	var parts [][]*member[T]
	places := map[string]int{}
	for _, m := range members {
		name := nameOf(g.locksOf(m.item))
		place, ok := places[name]
		if !ok {
			place = len(parts)
			places[name] = place
			parts = append(parts, nil)
		}
		parts[place] = append(parts[place], m)
	}
	return parts
}

// alike reports whether all members need the same locks.
func (g *group[T]) alike(members []*member[T]) bool { return len(g.byLocks(members)) == 1 }
