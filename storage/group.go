package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Bounds of group commit.
const (
	// mostInGroup is how many events share a transaction at most.
	mostInGroup = 500
	// mostCommits is how many transactions are under way at once: while one waits
	// for the disk, the next can be prepared.
	mostCommits = 2
	// mostWaiting and mostWaitingBytes bound what waits for a transaction; who comes
	// then is told to come again.
	mostWaiting      = 5_000
	mostWaitingBytes = 64 << 20
	// commitTimeout bounds a transaction, which nobody's request can end.
	commitTimeout = 10 * time.Second
)

// group gathers events that are accepted at the same time into shared
// transactions: what has queued up while a commit was running goes into the next
// one. One that waits for nobody is committed at once.
type group struct {
	// commit stores events, all of them or none.
	commit func(ctx context.Context, list []*hook.Accepted) error

	mu      sync.Mutex
	waiting []*member
	bytes   int
	running int
}

// member is an event that waits for its commit.
type member struct {
	accepted *hook.Accepted
	done     chan error
}

// add stores an event and returns when it is durable, or ctx ends; then it may be
// stored all the same.
func (g *group) add(ctx context.Context, accepted *hook.Accepted) error {
	m := &member{accepted: accepted, done: make(chan error, 1)}
	if !g.enter(m) { //nolint:contextcheck // a transaction that is shared ends with nobody's request
		return &hook.Error{Kind: hook.KindUnavailable, Message: "too many events are waiting to be stored", RetryAfter: time.Second}
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for commit: %w", ctx.Err())
	}
}

func (g *group) enter(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	size := len(m.accepted.Event.Data)
	if len(g.waiting) >= mostWaiting || g.bytes+size > mostWaitingBytes {
		return false
	}
	g.waiting = append(g.waiting, m)
	g.bytes += size
	if g.running < mostCommits {
		g.running++
		go g.run()
	}
	return true
}

// run commits what waits until nothing does.
func (g *group) run() {
	for {
		batch := g.take()
		if len(batch) == 0 {
			return
		}
		g.store(batch)
	}
}

// take takes the next transaction's events; none ends the run.
func (g *group) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), mostInGroup)
	if n == 0 {
		g.running--
		g.waiting = nil // what it held is not kept alive
		return nil
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	for _, m := range batch {
		g.bytes -= len(m.accepted.Event.Data)
	}
	return batch
}

// store commits a batch, and where that is refused, each of its events alone: one
// that can't be stored must not take its neighbours along. Where the store is
// away, none is tried again: whoever publishes has to know.
func (g *group) store(batch []*member) {
	err := g.commitAll(batch)
	for _, m := range batch {
		if err != nil && len(batch) > 1 && !isAway(err) {
			m.done <- g.commitAll([]*member{m})
			continue
		}
		m.done <- err
	}
}

func (g *group) commitAll(batch []*member) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	list := make([]*hook.Accepted, 0, len(batch))
	for _, m := range batch {
		list = append(list, m.accepted)
	}
	return g.commit(ctx, list)
}

// isAway tells an error that other events would meet as well.
func isAway(err error) bool {
	return hook.KindOf(mapErr(err)) == hook.KindUnavailable || errors.Is(err, context.Canceled)
}
