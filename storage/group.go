package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Bounds of a group.
const (
	// mostWaiting and mostWaitingBytes bound what waits for a statement; who comes
	// then is told to come again.
	mostWaiting      = 5_000
	mostWaitingBytes = 64 << 20
	// groupTimeout bounds a statement, which nobody's request can end.
	groupTimeout = 10 * time.Second
	// patience is how long what waits leaves a statement to itself. One at a time is
	// the least work for the database; one that is held up, by a lock or a slow disk,
	// must not hold up all that come after it.
	patience = 50 * time.Millisecond
)

// group gathers what is asked of the database at the same time into shared
// statements: what has queued up while one was running goes into the next. What
// waits for nobody is done at once.
type group[T any] struct {
	// do does all of them or none, and leaves in each what came of it.
	do func(ctx context.Context, items []T) error
	// name is the group's for count, which is told of each statement; nil is not.
	name  string
	count func(name string, rows int, waited, took time.Duration)
	// rows and bytes are an item's weight; nil is 1 and 0.
	rows  func(T) int
	bytes func(T) int
	// together is how many rows share a statement at most; an item that has more
	// has one to itself.
	together int
	// atOnce is how many statements may be under way at once, where they take longer
	// than patience.
	atOnce int

	mu      sync.Mutex
	waiting []*member[T]
	weight  struct{ rows, bytes int }
	running int
	// helping says that a look is due at whether the statements under way are held up.
	helping bool
}

// member is an item that waits for its statement.
type member[T any] struct {
	item  T
	since time.Time
	done  chan error
}

// add does one item and returns when that is done, or ctx ends; then it may be done
// all the same, and nobody may look at what came of it.
func (g *group[T]) add(ctx context.Context, item T) error {
	errs, err := g.addAll(ctx, []T{item})
	if err != nil {
		return err
	}
	return errs[0]
}

// addAll is add for several, which are taken on together or not at all: what comes
// of each is in its place.
func (g *group[T]) addAll(ctx context.Context, items []T) ([]error, error) {
	members := make([]*member[T], 0, len(items))
	now := time.Now()
	for _, item := range items {
		members = append(members, &member[T]{item: item, since: now, done: make(chan error, 1)})
	}
	if !g.enter(members) {
		return nil, &hook.Error{Kind: hook.KindUnavailable, Message: "too much is waiting to be stored", RetryAfter: time.Second}
	}
	errs := make([]error, 0, len(items))
	for _, m := range members {
		select {
		case err := <-m.done:
			errs = append(errs, err)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a shared statement: %w", ctx.Err())
		}
	}
	return errs, nil
}

// enter queues items. A queue that is empty takes any number of them.
func (g *group[T]) enter(members []*member[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	rows, bytes := 0, 0
	for _, m := range members {
		r, b := g.weigh(m.item)
		rows, bytes = rows+r, bytes+b
	}
	if len(g.waiting) > 0 && (g.weight.rows+rows > mostWaiting || g.weight.bytes+bytes > mostWaitingBytes) {
		return false
	}
	g.waiting = append(g.waiting, members...)
	g.weight.rows += rows
	g.weight.bytes += bytes
	if g.running == 0 {
		g.running++
		go g.run()
	} else if !g.helping && g.running < g.atOnce {
		g.helping = true
		time.AfterFunc(patience, g.help)
	}
	return true
}

// help begins another statement if something has been waiting for as long as
// patience.
func (g *group[T]) help() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.helping = false
	if len(g.waiting) == 0 || g.running == g.atOnce {
		return
	}
	if wait := patience - time.Since(g.waiting[0].since); g.running > 0 && wait > 0 {
		g.helping = true
		time.AfterFunc(wait, g.help)
		return
	}
	g.running++
	go g.run()
}

func (g *group[T]) weigh(item T) (rows, bytes int) {
	rows = 1
	if g.rows != nil {
		rows = g.rows(item)
	}
	if g.bytes != nil {
		bytes = g.bytes(item)
	}
	return rows, bytes
}

// run does what waits until nothing does.
func (g *group[T]) run() {
	for {
		batch := g.take()
		if len(batch) == 0 {
			return
		}
		g.finish(batch)
	}
}

// take takes the next statement's items; none ends the run.
func (g *group[T]) take() []*member[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, total := 0, 0
	for n < len(g.waiting) {
		rows, bytes := g.weigh(g.waiting[n].item)
		if n > 0 && total+rows > g.together {
			break
		}
		n, total = n+1, total+rows
		g.weight.rows -= rows
		g.weight.bytes -= bytes
	}
	if n == 0 {
		g.running--
		g.waiting = nil // what it held is not kept alive
		return nil
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return batch
}

// finish does a batch, and where that is refused, each of its items alone: one that
// can't be done must not take its neighbours along. Where the store is away, none
// is tried again: whoever asked has to know.
func (g *group[T]) finish(batch []*member[T]) {
	begin, rows := time.Now(), 0
	for _, m := range batch {
		n, _ := g.weigh(m.item)
		rows += n
	}
	err := g.doAll(batch)
	if g.count != nil {
		g.count(g.name, rows, begin.Sub(batch[0].since), time.Since(begin))
	}
	for _, m := range batch {
		if err != nil && len(batch) > 1 && !isAway(err) {
			m.done <- g.doAll([]*member[T]{m})
			continue
		}
		m.done <- err
	}
}

func (g *group[T]) doAll(batch []*member[T]) error {
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()
	items := make([]T, 0, len(batch))
	for _, m := range batch {
		items = append(items, m.item)
	}
	return g.do(ctx, items)
}

// isAway tells an error that others would meet as well.
func isAway(err error) bool {
	return hook.KindOf(mapErr(err)) == hook.KindUnavailable || errors.Is(err, context.Canceled)
}
