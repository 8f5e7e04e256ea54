package enginetest_test

import (
	"context"
	"sync"
	"time"

	"pgregory.net/rapid"

	engine "grapnel/internal/delivery"
	"grapnel/internal/hook"
)

// own makes the process an owner of first attempts, as a process with both roles is.
func (p *process) own(d *engine.Deps) (err error) {
	d.Owner, err = engine.NewOwner(p.store, d.Logger)
	d.Starts, p.owner = p, d.Owner
	return err
}

// owns returns the lease of the events that the process accepts now.
func (p *process) owns() hook.ProcessID {
	if p.resting.Load() {
		return hook.ProcessID{}
	}
	return p.owner.Current()
}

// finish ends its first attempts as a process does that stops: those in flight get a moment.
func (p *process) finish() {
	p.resting.Store(true)
	p.acts.Engine().StopImmediate()
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	_ = p.acts.Engine().AwaitImmediate(ctx) // pause waits for the others
}

// Expect keeps the process's sweeper from an event until Forget.
func (p *process) Expect(event hook.EventID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starter != nil {
		p.starter.Expect(event)
	}
}

// Forget ends Expect.
func (p *process) Forget(events ...hook.EventID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starter != nil {
		p.starter.Forget(events...)
	}
}

// Attempted starts the workflow of an event whose first attempts are immediate. Without a starter, the sweeper does.
func (p *process) Attempted(start hook.Start, due time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starter != nil {
		p.starter.Attempted(start, due)
	}
}

// lease is what the model knows of a process's lease, from the heartbeats that the store has answered. It is the
// rule of hook.FenceAfter, written again.
type lease struct {
	mu sync.Mutex
	id hook.ProcessID
	// at is when the last answered heartbeat began; lapsed is set once the lease was too old.
	at     time.Time
	lapsed bool
}

// beat notes an answered heartbeat. One of a lease that has lapsed does not bring it back.
func (l *lease) beat(id hook.ProcessID, begin time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id != l.id {
		l.id, l.at, l.lapsed = id, begin, false
	} else if l.lapsed = l.lapsed || time.Since(l.at) >= hook.FenceAfter; !l.lapsed {
		l.at = begin
	}
}

// holds reports whether the lease with that id holds.
func (l *lease) holds(id hook.ProcessID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !id.IsZero() && id == l.id && !l.lapsed && time.Since(l.at) < hook.FenceAfter
}

// checkFirst checks a request against those of the same delivery before it; the caller holds the receivers' lock.
func (r *receivers) checkFirst(got *request) {
	if got.manual || got.test {
		return
	}
	owner := r.w.ownerOf(got.publication)
	if got.immediate && !got.p.lease.holds(owner) {
		r.accuse("a first attempt began although its owner's lease had lapsed", got)
	}
	if r.w.replayed.Load() { // there may be several deliveries
		return
	}
	for _, before := range r.requests[:got.number] {
		if before.manual || before.webhook != got.webhook || before.publication != got.publication || before.recorded > 0 {
			continue
		}
		switch {
		case before.p.isDead():
		case before.immediate && !before.ended && before.p.lease.holds(owner):
			r.accuse("a first attempt began while its living owner was making it", got)
		case !r.w.struckAfter(before.at.Add(-strikes)):
			r.accuse("an attempt was made again before it was recorded, although nothing had failed", got)
		}
	}
}

// strikes is how long before a request a failure may have begun that lets it be repeated.
const strikes = time.Minute

// struckAfter reports whether the store or Temporal has failed since that time, so that a request may be repeated.
func (w *world) struckAfter(t time.Time) bool {
	w.mu.Lock()
	lost := w.lost
	w.mu.Unlock()
	return lost.After(t) || w.barrier.heldAfter(t)
}

func (r *receivers) accuse(kind string, got *request) {
	r.wrong = append(r.wrong, kind)
	r.w.logf("WRONG (%s): publication %d to %s by %s", kind, got.publication, got.webhook.name, got.p.name)
}

// ownerOf returns the lease under which a publication's first attempts are made.
func (w *world) ownerOf(publication int) hook.ProcessID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if publication >= len(w.publications) {
		return hook.ProcessID{}
	}
	return w.publications[publication].owner
}

// stall keeps a process from the store for a while, so that its lease lapses or nearly does. Before or after that it may
// accept something.
func (w *world) stall(t *rapid.T) {
	p := w.oneOf(t)
	before, after := rapid.Bool().Draw(t, "before"), rapid.Bool().Draw(t, "after")
	d := rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second, 7 * time.Second, 9 * time.Second, 15 * time.Second, 50 * time.Second}).Draw(t, "time")
	w.calm = time.Time{}
	if before {
		w.setSuspended(w.client(), false)
		w.accept(p, w.drawPublications(t, 2))
	}
	w.logf("%s stalls for %s", p.name, d)
	w.barrier.stall(p)
	if after {
		w.setSuspended(w.client(), false)
		w.accept(p, w.drawPublications(t, 2))
	}
	time.Sleep(d) //nolint:forbidigo // skipped time
	w.logf("%s wakes up", p.name)
	w.barrier.wake(p)
}

// fate changes what becomes of starts.
func (w *world) fate(t *rapid.T) {
	f := rapid.SampledFrom([]startFate{startsFine, startsFine, startsRefused, answersLost, startsLate}).Draw(t, "fate")
	w.logf("starts: %s", f)
	w.calm = time.Time{}
	w.temporal.change(func() { w.temporal.starts = f })
}
