package storage

import (
	"slices"
	"time"
)

const (
	// splitTimeout bounds how long a failed statement's members are done in parts: three
	// statements that use up their time. What is left then has the statement's error.
	splitTimeout = 3 * groupTimeout
	// partLockWait is how long a part waits for a row that is locked: the lock that made
	// the statement fail is held by somebody who stands still, any other goes soon. It is
	// shared among the parts that have been stuck, down to minPartLockWait, so that a statement
	// of 500 locks that are all held takes seconds.
	partLockWait    = 200 * time.Millisecond
	minPartLockWait = 10 * time.Millisecond
)

// parting does a failed statement's members again, in parts.
type splitter[T any] struct {
	group *group[T]
	until time.Time
	// stuck counts the parts that were.
	stuck int
	// away is why there is no store to ask any more.
	unavailable error
}

// split does the parts of a batch that failed with err, and tells all its members their
// outcomes. Members that were refused are done alone. Members that were stuck are done
// by the locks that they need, and where they need none, in halves.
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

// do does a part; err is why the whole was not done.
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

// remaining are those of the members that are still to be done: a caller that has left was
// told that its items are not stored, and those whose locks are in quarantine by now wait
// there.
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

// byLocks are the members by the locks that they need, each in their order.
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

// alike tells that all members need the same locks.
func (g *group[T]) alike(members []*member[T]) bool { return len(g.byLocks(members)) == 1 }
