package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
)

// Bounds of a group.
const (
	// mostWaiting and mostWaitingBytes bound the queue of a lane; who comes
	// then is told to come again.
	mostWaiting      = 5_000
	mostWaitingBytes = 32 << 20
	// groupTimeout bounds a statement, which nobody's request can end.
	groupTimeout = 10 * time.Second
	// patience is how long the queue leaves a statement to itself. One at a time is
	// the least work for the database; one that is held up, by a lock or a slow disk,
	// must not hold up all that come after it.
	patience = 50 * time.Millisecond
)

// group gathers requests to the database that come at the same time into shared
// statements: what has queued up while one was running goes into the next. An item
// that finds the queue empty is done at once.
//
// Items of different lanes never share a statement. A statement that fails is done
// again in parts (parting), and items behind a row lock that stays held go into
// quarantine (ward), so that they hold up nobody but each other.
type group[T any] struct {
	// do does all of the items or none, and leaves in each its outcome. Where ctx has a
	// lock wait (withLockWait), it waits no longer for a row.
	do func(ctx context.Context, items []T) error
	// name is the group's for count, which is told of each statement; nil is not.
	name  measure.Group
	count func(name measure.Group, rows int, waited, took time.Duration)
	// rows and bytes are an item's size in the queue; nil is 1 and 0.
	rows  func(T) int
	bytes func(T) int
	// weight is an item's size in a statement; nil is rows.
	weight func(T) int
	// lane is an item's lane; nil is the first for all.
	lane func(T) int
	// locks are the rows that an item's statement locks, and that may be held by
	// others for long; nil is none. They are asked for only after a failure.
	locks func(T) []rowLock
	// held are those of the locks that others hold now, for items that need several; nil
	// is all of them.
	held func(ctx context.Context, locks []rowLock) ([]rowLock, error)
	// together is the weight that a statement has at most; an item that has more
	// has one to itself.
	together int
	// atOnce is how many statements of a lane may be under way at once, where they
	// take longer than patience.
	atOnce int

	mu    sync.Mutex
	lanes [lanes]lane[T]
	wards wards[T]
}

// lane is a queue whose items may share statements.
type lane[T any] struct {
	// waiting has their turn one after the other, for an item each, so that a call with
	// many items, or heavy ones, does not keep the others from the next statement.
	waiting     []*call[T]
	rows, bytes int
	running     int
	// helping says that a look is due at whether the statements under way are held up.
	helping bool
}

// call is what one caller has in a lane, in its order.
type call[T any] struct {
	lane    int
	since   time.Time
	members []*member[T]
}

// member is an item that waits for its statement.
type member[T any] struct {
	item  T
	since time.Time
	done  chan error
	// call is where it waits in a lane; nil where it does not.
	call *call[T]
	// left says that nobody waits for it any more.
	left bool
}

func (m *member[T]) isLeft() bool { return m.left }

// add does one item and returns when that is done, or ctx ends; then it may be done
// all the same, and nobody may look at its outcome.
func (g *group[T]) add(ctx context.Context, item T) error { return g.addAll(ctx, []T{item})[0] }

// addAll is add for several, each of which has its error in its place. When ctx ends,
// those that are done have their outcomes, those in a statement under way are
// unavailable and may be done all the same, and the others are not begun any more.
func (g *group[T]) addAll(ctx context.Context, items []T) []error {
	members := make([]*member[T], 0, len(items))
	now := time.Now()
	for _, item := range items {
		members = append(members, &member[T]{item: item, since: now, done: make(chan error, 1)})
	}
	g.enter(members)
	errs := make([]error, len(members))
	for i, m := range members {
		select {
		case errs[i] = <-m.done:
			continue
		case <-ctx.Done():
		}
		g.leave(members[i:])
		gone := hook.Unavailable("the store", fmt.Errorf("wait for a shared statement: %w", ctx.Err()))
		for ; i < len(members); i++ {
			select {
			case errs[i] = <-members[i].done:
			default:
				errs[i] = gone
			}
		}
		break
	}
	return errs
}

// enter queues items, those of a lane together or not at all. A queue that is empty
// takes any number of them.
func (g *group[T]) enter(members []*member[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.place(members, true)
}

// place puts members into the wards and lanes that they belong to. Where bounded, what is
// full refuses them.
func (g *group[T]) place(members []*member[T], bounded bool) {
	var calls [lanes]*call[T]
	for _, m := range members {
		if w := g.wardOf(m.item); w != nil {
			g.admit(w, m)
			continue
		}
		n := 0
		if g.lane != nil {
			n = g.lane(m.item)
		}
		if calls[n] == nil {
			calls[n] = &call[T]{lane: n, since: m.since}
		}
		calls[n].members = append(calls[n].members, m)
	}
	for _, c := range calls {
		if c != nil {
			g.queue(c, bounded)
		}
	}
}

// queue puts a call into its lane and sees to it that it is done.
func (g *group[T]) queue(c *call[T], bounded bool) {
	l := &g.lanes[c.lane]
	rows, bytes := 0, 0
	for _, m := range c.members {
		r, b := g.size(m.item)
		rows, bytes = rows+r, bytes+b
	}
	if bounded && len(l.waiting) > 0 && (l.rows+rows > mostWaiting || l.bytes+bytes > mostWaitingBytes) {
		tell(c.members, &hook.Error{Kind: hook.KindUnavailable, Message: "too much is waiting to be stored", RetryAfter: time.Second})
		return
	}
	for _, m := range c.members {
		m.call = c
	}
	l.waiting = append(l.waiting, c)
	l.rows, l.bytes = l.rows+rows, l.bytes+bytes
	if l.running == 0 {
		l.running++
		go g.run(l)
	} else if !l.helping && l.running < g.atOnce {
		l.helping = true
		time.AfterFunc(patience, func() { g.help(l) })
	}
}

// leave takes those of the members out of the queues that have not been begun.
func (g *group[T]) leave(members []*member[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := map[*call[T]]bool{}
	for _, m := range members {
		m.left = true
		if m.call != nil {
			left[m.call] = true
			l := &g.lanes[m.call.lane]
			rows, bytes := g.size(m.item)
			l.rows, l.bytes = l.rows-rows, l.bytes-bytes
		}
	}
	for c := range left {
		if c.members = slices.DeleteFunc(c.members, (*member[T]).isLeft); len(c.members) == 0 {
			l := &g.lanes[c.lane]
			l.waiting = slices.DeleteFunc(l.waiting, func(other *call[T]) bool { return other == c })
		}
	}
	g.dismiss()
}

// help begins another statement if an item has been waiting for as long as patience.
func (g *group[T]) help(l *lane[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.helping = false
	if len(l.waiting) == 0 || l.running == g.atOnce {
		return
	}
	if wait := patience - time.Since(l.waiting[0].since); l.running > 0 && wait > 0 {
		l.helping = true
		time.AfterFunc(wait, func() { g.help(l) })
		return
	}
	l.running++
	go g.run(l)
}

// size is what an item takes of the queue's bounds.
func (g *group[T]) size(item T) (rows, bytes int) {
	rows = 1
	if g.rows != nil {
		rows = g.rows(item)
	}
	if g.bytes != nil {
		bytes = g.bytes(item)
	}
	return rows, bytes
}

func (g *group[T]) weigh(item T) int {
	if g.weight != nil {
		return g.weight(item)
	}
	rows, _ := g.size(item)
	return rows
}

// run does statement after statement until the lane is empty.
func (g *group[T]) run(l *lane[T]) {
	for {
		batch := g.take(l)
		if len(batch) == 0 {
			return
		}
		g.finish(batch)
	}
}

// take takes the next statement's items; none ends the run.
func (g *group[T]) take(l *lane[T]) []*member[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var batch []*member[T]
	total := 0
	for len(l.waiting) > 0 {
		c := l.waiting[0]
		m := c.members[0]
		weight := g.weigh(m.item)
		if len(batch) > 0 && total+weight > g.together {
			break
		}
		m.call, c.members, l.waiting = nil, c.members[1:], l.waiting[1:]
		if len(c.members) > 0 {
			l.waiting = append(l.waiting, c)
		}
		rows, bytes := g.size(m.item)
		l.rows, l.bytes = l.rows-rows, l.bytes-bytes
		if w := g.wardOf(m.item); w != nil { // since it has been queued
			g.admit(w, m)
			continue
		}
		batch, total = append(batch, m), total+weight
	}
	if len(batch) == 0 {
		l.running--
		l.waiting = nil // what it held is not kept alive
	}
	return batch
}

// finish does a batch, and where that fails for the sake of some of it, does it in
// parts: one that can't be done must not take its neighbours along.
func (g *group[T]) finish(batch []*member[T]) {
	begin, rows := time.Now(), 0
	for _, m := range batch {
		n, _ := g.size(m.item)
		rows += n
	}
	err := g.doAll(batch, 0)
	if g.count != nil {
		g.count(g.name, rows, begin.Sub(batch[0].since), time.Since(begin))
	}
	if err == nil || isAway(err) {
		tell(batch, err)
		return
	}
	p := &parting[T]{group: g, until: time.Now().Add(partingTimeout)}
	p.split(batch, err)
}

// doAll does a batch's items, waiting for each row lock as long as lockWait; 0 is as
// long as the session does. The error of a statement that used up its time is errLate.
func (g *group[T]) doAll(batch []*member[T], lockWait time.Duration) error {
	ctx, cancel := context.WithTimeout(withLockWait(context.Background(), lockWait), groupTimeout)
	defer cancel()
	items := make([]T, 0, len(batch))
	for _, m := range batch {
		items = append(items, m.item)
	}
	err := g.do(ctx, items)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !isConnectError(err) {
		return fmt.Errorf("%w: %w", errLate, err)
	}
	return err
}

// tell gives members their outcome.
func tell[T any](members []*member[T], err error) {
	for _, m := range members {
		m.done <- err
	}
}
