package enginetest_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// errKilled is what a process that was killed meets everywhere; nobody sees it any more.
var errKilled = errors.New("this process was killed")

// gate holds what processes do with the store, while it is shut: before and after each
// transaction. So the test can put transactions into any order, and kill a process between
// any two, or when it has not yet learned what came of one.
type gate struct {
	mu     sync.Mutex
	shut   bool
	parked []*parked
}

// parked is one that waits at the gate.
type parked struct {
	p    *process
	what string
	pass chan error
	// since is when it came.
	since time.Time
}

// stall is how long the store may take for an answer before what was sent may be sent
// again: an activity's time is over before it could record it.
const stall = 5 * time.Second

// pass returns when the gate is open, or what waits there was let through; an error when
// its process was killed.
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

// close shuts it.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// open lets everything through.
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

// waiting is how many wait.
func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.parked)
}

// release lets n of those that wait through at once, from the given place on in an order
// that does not depend on who came first, and returns what they are about to do. Those
// get the error instead, if there is one: the store does not answer, or its answer is lost.
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

// runKey is where an activity's context has its run.
type runKey struct{}

// runOf is the run of an activity whose context it is; nil if it is none's.
func runOf(ctx context.Context) *activityRun {
	r, _ := ctx.Value(runKey{}).(*activityRun)
	return r
}
