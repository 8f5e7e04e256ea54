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

// gate, while it is shut, holds the processes' operations on the store, before and after each transaction. So a
// test can put transactions into any order. It can kill a process between any two of them, or before it learns the
// result of one.
type gate struct {
	mu     sync.Mutex
	shut   bool
	parked []*parked
}

// parked is an operation that is held at the gate.
type parked struct {
	p    *process
	what string
	pass chan error
	// since is the time of its arrival.
	since time.Time
}

// stall is how long the store may take to answer. After a longer time a request may be made again, because the
// activity may have timed out before it could record the first one.
const stall = 5 * time.Second

// pass returns nil when the gate is open or has released the operation. It returns an error if the process was
// killed or release was given one.
func (g *gate) pass(p *process, what string) error {
	if p.isDead() {
		return errKilled
	}
	g.mu.Lock()
	if !g.shut {
		g.mu.Unlock()
		return nil
	}
	w := &parked{p: p, what: what, pass: make(chan error, 1), since: time.Now()}
	g.parked = append(g.parked, w)
	g.mu.Unlock()
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
		g.mu.Lock()
		defer g.mu.Unlock()
		g.parked = slices.DeleteFunc(g.parked, func(o *parked) bool { return o == w })
		return errKilled
	}
}

// close shuts the gate.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// open opens the gate and releases all operations.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
	for _, w := range g.parked {
		w.pass <- nil
	}
	g.parked = nil
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// waiting returns how many operations are held at the gate.
func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.parked)
}

// release lets n of the held operations pass at once and returns their names. They are taken from place on, in an
// order that does not depend on their arrival. If err is not nil, they fail with it: the store does not answer, or
// its answer is lost.
func (g *gate) release(place, n int, err error) (what []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortStableFunc(g.parked, func(a, b *parked) int {
		return cmp.Or(cmp.Compare(a.p.name, b.p.name), cmp.Compare(a.what, b.what))
	})
	for ; n > 0 && len(g.parked) > 0; n-- {
		i := place % len(g.parked)
		w := g.parked[i]
		what = append(what, w.p.name+" "+w.what)
		w.pass <- err
		g.parked = slices.Delete(g.parked, i, i+1)
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
