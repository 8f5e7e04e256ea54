package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/turns"
)

// A process that has both roles makes the first attempts of the events that it accepts as soon
// as their accept is committed, while their workflows are still to be started: a workflow costs
// far more than a request, and nearly every first attempt succeeds. Such attempts are immediate.
// docs/architecture.md has the states and what a kill leaves ("First attempts at the commit").

const (
	// maxWaiting bounds the events that wait to be loaded, maxLoaded the deliveries that are
	// loaded. Events beyond them go the regular way, by their workflow. There are so many because
	// the deliveries of an endpoint that hangs are loaded for throttlePatience, and must not keep
	// those of other endpoints from being loaded.
	maxWaiting = 5000
	maxLoaded  = 4000
	// maxLoads bounds the loads under way. One load has all events that wait, so more than one is
	// of use only when the store is slow.
	maxLoads = 2
	// maxLoad bounds the deliveries of one load, maxSharedLoad those of one with events of several
	// tenants: none of them waits for long because another publishes in floods.
	maxLoad, maxSharedLoad = 500, 100
	// gatherFor is the time for each event of a load in which further events gather for the next one, and maxGather
	// the most of it. Up to 1/gatherFor events a second it changes nothing; above that the loads grow until maxGather,
	// and so do the statements that record their attempts: they cost less for each event.
	gatherFor = time.Millisecond
	maxGather = 40 * time.Millisecond
	// loadTimeout bounds a load.
	loadTimeout = 10 * time.Second
	// givenAfter is how long a workflow's start waits for the first attempts of its events. Most
	// have ended by then, and the workflow has nothing left to do. A slower attempt can be seen
	// in the Temporal Web UI.
	givenAfter = time.Second
)

// Starts starts the workflows of events whose first attempts are immediate. Its methods do not
// wait.
type Starts interface {
	// Expect keeps the sweeper of this process from starting the event's workflow, until Forget.
	Expect(event hook.EventID)
	Forget(events ...hook.EventID)
	// Attempted starts the workflow of an event whose first attempts were made, or are being made
	// by start.Owner. The start may wait and be shared, but not beyond due, when the next attempt
	// is due; zero if none is.
	Attempted(start hook.Start, due time.Time)
}

// immediate makes immediate attempts.
type immediate struct {
	engine *Engine
	owner  *Owner
	starts Starts
	// webhooks are those of the events before.
	webhooks *webhookCache

	mu      sync.Mutex
	stopped bool
	// events are the events whose first attempts are waiting or under way.
	events map[hook.EventID]*firstAttempts
	// waiting are those of them that are not loaded yet. Tenants take turns.
	waiting turns.Queue[hook.TenantID, *firstAttempts]
	// loads is the number of loads under way, loaded the number of deliveries in runs.
	loads, loaded int
	// gathering is the tenant for whose events loads wait, and hurry ends the wait for an event of another tenant.
	gathering hook.TenantID
	hurry     chan struct{}
	// running are the loads and runs.
	running sync.WaitGroup
}

// firstAttempts are the first attempts of one event. immediate.mu guards all but start and done.
type firstAttempts struct {
	start hook.Start
	// left is the number of deliveries without an outcome.
	left  int
	ended []hook.Delivery
	// due is when the next attempt is due; zero if none is.
	due time.Time
	// given says that the workflow's start was handed over.
	given bool
	// done is closed when the first attempts have ended.
	done chan struct{}
}

// Accept delivers an accepted event: by immediate attempts if this process owns the event and
// has room, and otherwise by its workflow. It does not wait.
func (e *Engine) Accept(start hook.Start) {
	if e.immediate == nil {
		e.regular(start)
		return
	}
	began := e.immediate.add(start)
	e.metrics.Immediate(began)
	if !began {
		e.regular(start)
	}
}

// regular leaves an event's first attempts to its workflow.
func (e *Engine) regular(start hook.Start) {
	start.Owner, start.Fresh = hook.ProcessID{}, nil
	if e.dispatcher != nil {
		e.dispatcher.Dispatch(start)
	}
}

// add begins the first attempts of an event. It returns false if the process can't make them.
func (m *immediate) add(start hook.Start) bool {
	if !m.owner.Holds(start.Owner) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped || m.waiting.Len() >= maxWaiting || m.events[start.EventID] != nil {
		return false
	}
	m.starts.Expect(start.EventID)
	f := &firstAttempts{start: start, done: make(chan struct{})}
	m.events[start.EventID] = f
	m.waiting.Push(start.TenantID, f)
	if m.gathering != (hook.TenantID{}) && m.gathering != start.TenantID {
		select {
		case m.hurry <- struct{}{}:
		default: // it ends already
		}
	}
	m.kick()
	return true
}

// count notes how many deliveries each event has.
func (m *immediate) count(jobs []hook.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range jobs {
		m.events[jobs[i].Delivery.EventID].left++
	}
}

// run makes the first attempts of loaded events.
func (m *immediate) run(batch []*firstAttempts, deliveries int, jobs []hook.Job, s *share) {
	defer m.end(batch, deliveries)
	defer s.release()
	slow := time.AfterFunc(givenAfter, func() { m.give(batch) })
	defer slow.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), contract.RunTimeout)
	defer cancel()
	r := m.engine.newRun(m.window(batch[0].start.Owner), len(jobs), s)
	r.settled = m.settle
	if err := r.do(ctx, jobs); err != nil {
		m.engine.log.WarnContext(ctx, "immediate attempts", slog.Any("error", err))
	}
}

// window returns the time in which a run may begin attempts: until the process stops, or its
// lease lapses.
func (m *immediate) window(owner hook.ProcessID) Window {
	return Window{deadline: time.Now().Add(contract.RunTimeout), held: func() bool { return m.mayBegin(owner) }}
}

func (m *immediate) mayBegin(owner hook.ProcessID) bool {
	m.mu.Lock()
	stopped := m.stopped
	m.mu.Unlock()
	return !stopped && m.owner.Holds(owner)
}

// settle takes in a delivery whose first attempt is recorded, or that needs none. When it is
// the event's last one, the workflow is started with their outcome.
func (m *immediate) settle(d hook.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.events[d.EventID]
	if d.Outstanding() && !d.Deferred {
		if f.due.IsZero() || d.NextAttemptAt.Before(f.due) {
			f.due = *d.NextAttemptAt
		}
	} else {
		f.ended = append(f.ended, d)
	}
	if f.left--; f.left == 0 {
		m.remove(f, true)
	}
}

// remove takes an event out whose first attempts have ended. attempted says that all were made;
// otherwise the workflow makes the rest. m.mu is locked.
func (m *immediate) remove(f *firstAttempts, attempted bool) {
	delete(m.events, f.start.EventID)
	close(f.done)
	start := f.start
	start.Owner, start.Fresh, start.Ended = hook.ProcessID{}, nil, f.ended
	switch {
	case f.given: // its workflow takes over by itself
	case attempted:
		start.Attempted = true
		m.starts.Attempted(start, f.due)
	default:
		m.engine.regular(start)
	}
	m.starts.Forget(f.start.EventID)
}

// end takes out the events of a run that has ended, with those deliveries that it could not
// send. deliveries is what take has counted.
func (m *immediate) end(batch []*firstAttempts, deliveries int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range batch {
		if m.events[f.start.EventID] == f {
			m.remove(f, false)
		}
	}
	m.loaded -= deliveries
	m.kick()
}

// give hands over the starts of events whose first attempts take long.
func (m *immediate) give(batch []*firstAttempts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range batch {
		if m.events[f.start.EventID] == f && !f.given {
			f.given = true
			start := f.start
			start.Fresh, start.Attempted = nil, true
			m.starts.Attempted(start, time.Time{})
		}
	}
}

// StopImmediate begins no further immediate attempts. Events that wait go the regular way; the
// requests in flight go on.
func (e *Engine) StopImmediate() {
	m := e.immediate
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	for f, ok := m.waiting.Pop(); ok; f, ok = m.waiting.Pop() {
		m.remove(f, false)
	}
}

// AwaitImmediate waits until the immediate attempts in flight have ended, or ctx does. Call
// StopImmediate before.
func (e *Engine) AwaitImmediate(ctx context.Context) error {
	if e.immediate == nil {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		e.immediate.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
