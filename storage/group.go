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
	// maxQueued and maxQueuedBytes bound the queue of a lane. Items beyond them are refused as unavailable.
	maxQueued      = 5_000
	maxQueuedBytes = 32 << 20
	// groupTimeout bounds a statement. The end of a caller's request does not end it.
	groupTimeout = 10 * time.Second
	// runnerDelay is how long a lane waits before it runs a second statement beside the first. One statement at a
	// time is the least work for the database, but one that is delayed, by a lock or a slow disk, must not delay all
	// later items.
	runnerDelay = 50 * time.Millisecond
	// maxSharedRows is how many rows a statement has at most if it has items of several tenants: some 20 ms of work.
	maxSharedRows = 100
	// maxTenantRows is how many of these rows one tenant has at most: some 5 ms of work. Other tenants do not wait for
	// a statement with more rows of one tenant.
	maxTenantRows = 25
)

// group gathers concurrent database requests into shared statements: the items that arrive while one statement runs
// go into the next one. An item that finds the queue empty is done at once.
//
// Items of different lanes never share a statement. A statement that fails is repeated in parts (splitter). Items
// that need a row lock which stays taken go into quarantine (lockQueue), so that they delay only each other.
//
// Tenants share fairly, if the group knows them (K9): calls take turns, a statement with several tenants has at most
// maxSharedRows, and maxTenantRows of each. A statement with more rows is large and has one tenant only; another
// tenant's item that comes while it runs does not wait for it.
type group[T any] struct {
	// do handles all items atomically and stores each item's outcome in the item. If ctx has a lock wait
	// (withLockWait), it waits no longer than that for a row.
	do func(ctx context.Context, items []T) error
	// name is the group's name for count, which is called after each statement. A nil count is not called.
	name  measure.Group
	count func(name measure.Group, rows int, waited, took time.Duration)
	// rows and bytes return an item's size in the queue. The defaults are 1 and 0.
	rows  func(T) int
	bytes func(T) int
	// weight returns an item's size in a statement. The default is rows.
	weight func(T) int
	// lane returns an item's lane. The default is lane 0.
	lane func(T) int
	// tenant returns the tenant of an item; nil means that tenants don't matter.
	tenant func(T) hook.TenantID
	// locks returns the rows that an item's statement locks and that others may keep locked for long. nil means none.
	// It is called only after a failure.
	locks func(T) []rowLock
	// stillLocked returns those of the locks that other sessions hold now. It is called for items that need several
	// locks. nil treats all of them as taken.
	stillLocked func(ctx context.Context, locks []rowLock) ([]rowLock, error)
	// maxWeight is the greatest weight of a statement. An item above it gets a statement of its own.
	maxWeight int
	// maxRunners is how many statements of a lane may run at once, if they take longer than runnerDelay.
	maxRunners int
	// linger is the least time between the begins of two statements of a lane, unless lingerRows wait. An item that
	// comes later than that after the last statement began is done at once. The default is none.
	linger time.Duration

	mu         sync.Mutex
	lanes      [lanes]lane[T]
	lockQueues lockQueues[T]
}

// lane is a queue whose items may share statements.
type lane[T any] struct {
	// calls take turns, one item each, so that a call with many or heavy items does not keep the others from the next
	// statement.
	calls       []*call[T]
	rows, bytes int
	running     int
	// began is when the last statement began.
	began time.Time
	// enough is closed when lingerRows wait; nil if no statement lingers.
	enough chan struct{}
	// large are the tenants of the large statements that run: those with more than maxTenantRows.
	large []hook.TenantID
	// runnerDue reports whether a check for delayed statements is scheduled.
	runnerDue bool
}

// call is one caller's items in a lane, in the caller's order.
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
	// call is the member's place in a lane; nil if the member is in none.
	call *call[T]
	// abandoned reports whether the caller has stopped waiting.
	abandoned bool
}

func (m *member[T]) isAbandoned() bool { return m.abandoned }

// add handles one item and returns when it is done or ctx ends. If ctx ends, the item may be done all the same, and
// the caller must not read its outcome.
func (g *group[T]) add(ctx context.Context, item T) error { return g.addAll(ctx, []T{item})[0] }

// addAll is add for several items; the errors are in the order of the items. When ctx ends, finished items have their
// outcomes, items in a running statement are unavailable but may be done all the same, and the others are not begun.
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
		g.abandon(members[i:])
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

// enter queues items, those of one lane together or not at all. An empty queue takes any number of items.
func (g *group[T]) enter(members []*member[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.place(members, true)
}

// place puts members into their lock queues and lanes. If bounded, a full lane refuses them.
func (g *group[T]) place(members []*member[T], bounded bool) {
	var calls [lanes]*call[T]
	for _, m := range members {
		if w := g.lockQueueOf(m.item); w != nil {
			g.enqueueBehind(w, m)
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

// queue puts a call into its lane and makes sure that a statement runs.
func (g *group[T]) queue(c *call[T], bounded bool) {
	l := &g.lanes[c.lane]
	rows, bytes := 0, 0
	for _, m := range c.members {
		r, b := g.size(m.item)
		rows, bytes = rows+r, bytes+b
	}
	if bounded && len(l.calls) > 0 && (l.rows+rows > maxQueued || l.bytes+bytes > maxQueuedBytes) {
		resolve(c.members, &hook.Error{Kind: hook.KindUnavailable, Message: "too much is waiting to be stored", RetryAfter: time.Second})
		return
	}
	for _, m := range c.members {
		m.call = c
	}
	l.calls = append(l.calls, c)
	l.rows, l.bytes = l.rows+rows, l.bytes+bytes
	if l.enough != nil && l.rows-rows < lingerRows && l.rows >= lingerRows {
		close(l.enough)
	}
	if l.running == 0 {
		l.running++
		go g.run(l, false)
		return
	}
	if len(l.large) > 0 && !g.isLarge(l, c) {
		g.runBeside(l)
	}
	if !l.runnerDue && l.running < g.maxRunners {
		l.runnerDue = true
		time.AfterFunc(runnerDelay, func() { g.addRunner(l) })
	}
}

// abandon removes from the queues those members that have not been begun.
func (g *group[T]) abandon(members []*member[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := map[*call[T]]bool{}
	for _, m := range members {
		m.abandoned = true
		if m.call != nil {
			left[m.call] = true
			l := &g.lanes[m.call.lane]
			rows, bytes := g.size(m.item)
			l.rows, l.bytes = l.rows-rows, l.bytes-bytes
		}
	}
	for c := range left {
		if c.members = slices.DeleteFunc(c.members, (*member[T]).isAbandoned); len(c.members) == 0 {
			l := &g.lanes[c.lane]
			l.calls = slices.DeleteFunc(l.calls, func(other *call[T]) bool { return other == c })
		}
	}
	g.removeAbandoned()
}

// addRunner begins another statement if an item has waited for runnerDelay.
func (g *group[T]) addRunner(l *lane[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.runnerDue = false
	if len(l.calls) == 0 || l.running == g.maxRunners {
		return
	}
	if wait := runnerDelay - time.Since(l.calls[0].since); l.running > 0 && wait > 0 {
		l.runnerDue = true
		time.AfterFunc(wait, func() { g.addRunner(l) })
		return
	}
	l.running++
	go g.run(l, false)
}

// runBeside begins another statement beside large ones, for other tenants, if not too many run.
func (g *group[T]) runBeside(l *lane[T]) {
	if l.running <= g.maxRunners {
		l.running++
		go g.run(l, true)
	}
}

// isLarge reports whether the call's tenant has a large statement that runs.
func (g *group[T]) isLarge(l *lane[T], c *call[T]) bool {
	return g.tenant != nil && slices.Contains(l.large, g.tenant(c.members[0].item))
}

// size returns an item's share of the queue's bounds.
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

// run executes one statement after the other until the lane is empty. If beside, it leaves the tenants of large
// statements to others.
func (g *group[T]) run(l *lane[T], beside bool) {
	for {
		g.gather(l)
		batch, large := g.take(l, beside)
		if len(batch) == 0 {
			return
		}
		g.finish(batch)
		if large {
			g.endLarge(l, batch[0])
		}
	}
}

func (g *group[T]) endLarge(l *lane[T], m *member[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(l.large, g.tenant(m.item))
	l.large = slices.Delete(l.large, at, at+1)
}

// take takes the items of the next statement, and says whether that is a large one. No item means that the run ends.
func (g *group[T]) take(l *lane[T], beside bool) (batch []*member[T], large bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := statement[T]{group: g}
	at := 0
	for at < len(l.calls) {
		c := l.calls[at]
		if beside && g.isLarge(l, c) {
			at++
			continue
		}
		m := c.members[0]
		if s.hasEnough(m.item) {
			at++
			continue
		}
		if !s.fits(m.item) {
			break
		}
		if m.call, c.members = nil, c.members[1:]; at == 0 {
			l.calls = l.calls[1:]
		} else {
			l.calls = slices.Delete(l.calls, at, at+1)
		}
		if len(c.members) > 0 {
			l.calls = append(l.calls, c)
		}
		rows, bytes := g.size(m.item)
		l.rows, l.bytes = l.rows-rows, l.bytes-bytes
		if w := g.lockQueueOf(m.item); w != nil { // its lock got stuck after it was queued
			g.enqueueBehind(w, m)
			continue
		}
		s.add(m)
	}
	l.began = time.Now()
	if len(s.batch) == 0 {
		l.running--
		if len(l.calls) == 0 {
			l.calls = nil // frees the calls
		}
	}
	if s.isLarge() {
		l.large = append(l.large, g.tenant(s.batch[0].item))
		if slices.ContainsFunc(l.calls, func(c *call[T]) bool { return !g.isLarge(l, c) }) {
			g.runBeside(l)
		}
	}
	return s.batch, s.isLarge()
}

// finish does a batch. If the batch fails because of some of its items, it is done in parts: an item that can't be
// done must not fail its neighbours.
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
	if err == nil || isUnavailable(err) {
		resolve(batch, err)
		return
	}
	p := &splitter[T]{group: g, until: time.Now().Add(splitTimeout)}
	p.split(batch, err)
}

// doAll does a batch's items. It waits lockWait for each row lock; 0 leaves the wait to the session. If the statement
// ran out of time, the error wraps errStatementTimeout.
func (g *group[T]) doAll(batch []*member[T], lockWait time.Duration) error {
	ctx, cancel := context.WithTimeout(withLockWait(context.Background(), lockWait), groupTimeout)
	defer cancel()
	items := make([]T, 0, len(batch))
	for _, m := range batch {
		items = append(items, m.item)
	}
	err := g.do(ctx, items)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !isConnectError(err) {
		return fmt.Errorf("%w: %w", errStatementTimeout, err)
	}
	return err
}
