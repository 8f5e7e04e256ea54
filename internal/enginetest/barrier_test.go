package enginetest_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// errKilled is the error of all operations of a killed process. No living process sees it.
var errKilled = errors.New("this process was killed")

// barrier, while it is shut, holds the processes' operations on the store, before and after each transaction. So a
// test can put transactions into any order. It can kill a process between any two of them, or before it learns the
// result of one.
type barrier struct {
	mu   sync.Mutex
	shut bool
	// stalled are the processes whose operations are held although the barrier is open, and struck is when an operation
	// was last held or could have been.
	stalled map[*process]bool
	struck  time.Time
	held    []*heldCall
}

// heldCall is an operation that is held at the barrier.
type heldCall struct {
	p    *process
	what string
	pass chan error
	// since is the time of its arrival.
	since time.Time
}

// stall is how long the store may take to answer. After a longer time a request may be made again, because the
// activity may have timed out before it could record the first one.
const stall = 5 * time.Second

// pass returns nil when the barrier is open or has released the operation. It returns an error if the process was
// killed or release was given one, or when the caller no longer waits.
func (b *barrier) pass(p *process, what string, gone <-chan struct{}) error {
	if p.isDead() {
		return errKilled
	}
	b.mu.Lock()
	if !b.shut && !b.stalled[p] {
		b.mu.Unlock()
		return nil
	}
	w := &heldCall{p: p, what: what, pass: make(chan error, 1), since: time.Now()}
	b.held = append(b.held, w)
	b.mu.Unlock()
	select {
	case err := <-w.pass:
		if time.Since(w.since) > stall {
			p.w.receivers.stalled(p)
		}
		if p.isDead() {
			return errKilled
		}
		return err
	case <-p.dead:
		b.forget(w)
		return errKilled
	case <-gone:
		b.forget(w)
		return context.DeadlineExceeded
	}
}

func (b *barrier) forget(w *heldCall) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = slices.DeleteFunc(b.held, func(o *heldCall) bool { return o == w })
}

// stall holds the operations of one process.
func (b *barrier) stall(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stalled == nil {
		b.stalled = map[*process]bool{}
	}
	b.stalled[p] = true
}

// openExcept opens the barrier for all but one process.
func (b *barrier) openExcept(p *process) {
	b.stall(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = false
	b.held = slices.DeleteFunc(b.held, func(w *heldCall) bool {
		if w.p != p {
			w.pass <- nil
		}
		return w.p != p
	})
}

// wake ends stall.
func (b *barrier) wake(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.struck = time.Now()
	delete(b.stalled, p)
	if b.shut {
		return
	}
	b.held = slices.DeleteFunc(b.held, func(w *heldCall) bool {
		if w.p == p {
			w.pass <- nil
		}
		return w.p == p
	})
}

// close shuts the barrier.
func (b *barrier) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
}

// open opens the barrier and releases all operations, also those of stalled processes.
func (b *barrier) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holds() {
		b.struck = time.Now()
	}
	b.shut = false
	clear(b.stalled)
	for _, w := range b.held {
		w.pass <- nil
	}
	b.held = nil
}

// holds reports whether operations of some process are held; the caller holds the lock.
func (b *barrier) holds() bool { return b.shut || len(b.stalled) > 0 }

func (b *barrier) isShut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holds()
}

// heldAfter reports whether operations were held at some moment after that time.
func (b *barrier) heldAfter(t time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holds() || b.struck.After(t)
}

// waiting returns how many operations are held at the barrier.
func (b *barrier) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.held)
}

// release lets n of the held operations pass at once and returns their names. They are taken from place on, in an
// order that does not depend on their arrival. If err is not nil, they fail with it: the store does not answer, or
// its answer is lost.
func (b *barrier) release(place, n int, err error) (what []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.SortStableFunc(b.held, func(x, y *heldCall) int {
		return cmp.Or(cmp.Compare(x.p.name, y.p.name), cmp.Compare(x.what, y.what))
	})
	for ; n > 0 && len(b.held) > 0; n-- {
		i := place % len(b.held)
		w := b.held[i]
		what = append(what, w.p.name+" "+w.what)
		w.pass <- err
		b.held = slices.Delete(b.held, i, i+1)
	}
	return what
}

// runKey is the context key of an activity's run.
type runKey struct{}

// runOf returns the run of the activity with that context; nil if it has none.
func runOf(ctx context.Context) *activityRun {
	r, _ := ctx.Value(runKey{}).(*activityRun)
	return r
}
