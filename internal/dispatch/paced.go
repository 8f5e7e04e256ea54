package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"grapnel/internal/hook"
)

// A workflow costs far more than a request. Where the first attempts are immediate they don't need it, so it can wait:
// such workflows are started at a pace, and the events that wait meanwhile share one. At ordinary rates each event has
// a workflow of its own.

const (
	// longestPace is how long an event waits for its start at most.
	longestPace = 5 * time.Second
	// mostTokens is how often a start counts at the pace at most. A start counts once for every two events: where events
	// come faster than twice the pace, more and more of them wait for one start, until there are only a few starts a
	// second. Below the pace the starts count for less than the pace allows, so that events soon have a workflow of
	// their own again after a burst.
	mostTokens = 10
	// startBefore is how long before its next attempt is due an event's workflow is started at the latest.
	startBefore = time.Second
)

// attempted is an event whose first attempts were made or are under way.
type attempted struct {
	start hook.Start
	// due is when the next attempt is due; zero if none is.
	due time.Time
}

// Expect keeps the sweeper of this process from starting the event's workflow, until Forget.
func (s *Starter) Expect(event hook.EventID) { s.expected.add(event) }

// Forget ends Expect.
func (s *Starter) Forget(events ...hook.EventID) { s.expected.remove(events...) }

// Attempted queues the start of an event whose first attempts were made, or are being made by start.Owner. The start
// waits for the pace and may be shared, but is made before the next attempt is due; a zero due is none. Attempted never
// blocks: when the queue is full, the event is left to the sweeper.
func (s *Starter) Attempted(start hook.Start, due time.Time) {
	s.inProgress.add(start.EventID)
	select {
	case s.attempted <- attempted{start, due}:
	default:
		s.inProgress.remove(start.EventID)
	}
}

// pacing has the events whose start waits, packed into bursts, the oldest burst first. Their first attempts were made, or are
// under way, so events of all tenants share bursts: at most one of a kind is not full.
type pacing struct {
	packing packing
	limiter *rate.Limiter
	// urgent are the bursts that are full.
	urgent []*burst
	// soonest is the earliest time by which a burst is to be started.
	soonest time.Time
	// most is the number of events from which the pace no longer counts.
	most   int
	events int
}

func (s *Starter) newPacing() *pacing {
	limit := rate.Limit(s.config.StartsPerSecond)
	if limit <= 0 {
		limit = rate.Inf
	}
	return &pacing{
		packing: *s.newPacking(), limiter: rate.NewLimiter(limit, max(int(s.config.StartsPerSecond), 2)), most: s.config.Queue / 2,
	}
}

// add packs an event.
func (p *pacing) add(a attempted, now time.Time) {
	b := p.packing.add(&a.start)
	by := now.Add(longestPace)
	if !a.due.IsZero() && a.due.Add(-startBefore).Before(by) {
		by = a.due.Add(-startBefore)
	}
	if b.by.IsZero() || by.Before(b.by) {
		b.by = by
	}
	if p.soonest.IsZero() || by.Before(p.soonest) {
		p.soonest = by
	}
	if p.events++; b.full(p.packing.maxEvents) {
		p.urgent = append(p.urgent, b)
	}
}

// next returns the burst to start now, or how long to wait until there may be one; 0 if nothing waits.
func (p *pacing) next(now time.Time) (*burst, time.Duration) {
	if len(p.packing.bursts) == 0 {
		return nil, 0
	}
	if len(p.urgent) > 0 {
		return p.urgent[0], 0
	}
	if !now.Before(p.soonest) {
		at := slices.IndexFunc(p.packing.bursts, func(b *burst) bool { return !b.by.After(p.soonest) })
		return p.packing.bursts[at], 0
	}
	first := p.packing.bursts[0]
	missing := float64(first.tokens()) - p.limiter.TokensAt(now)
	if missing <= 0 || p.events > p.most {
		return first, 0
	}
	token := time.Duration(missing / float64(p.limiter.Limit()) * float64(time.Second))
	return nil, max(min(p.soonest.Sub(now), token), time.Millisecond)
}

// tokens returns how often the start of the burst counts at the pace.
func (b *burst) tokens() int {
	return min((len(b.starts)+1)/2, mostTokens)
}

// take takes a burst out, for its start.
func (p *pacing) take(b *burst, now time.Time) {
	// A burst that does not wait for the pace takes what there is: otherwise small ones would be started between full ones.
	p.limiter.AllowN(now, max(min(b.tokens(), int(p.limiter.TokensAt(now))), 0))
	p.packing.remove(b)
	p.events -= len(b.starts)
	if len(p.urgent) > 0 && p.urgent[0] == b {
		p.urgent = p.urgent[1:]
	}
	p.soonest = time.Time{}
	for _, b := range p.packing.bursts {
		if p.soonest.IsZero() || b.by.Before(p.soonest) {
			p.soonest = b.by
		}
	}
}

// runPaced starts the workflows of attempted events until ctx ends. Then it starts those that wait, at once.
func (s *Starter) runPaced(ctx, late context.Context, starting *sync.WaitGroup) {
	p := s.newPacing()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		b, in := p.next(time.Now())
		if pause := s.resting(); pause > 0 {
			b, in = nil, pause
		}
		var more <-chan attempted
		if p.events < s.config.Queue { // else Attempted leaves events to the sweeper, once its channel is full
			more = s.attempted
		}
		var slot chan<- struct{}
		var wake <-chan time.Time
		switch {
		case b != nil:
			slot = s.slots
		case in > 0:
			timer.Reset(in)
			wake = timer.C
		}
		select {
		case a := <-more:
			p.add(a, time.Now())
		case slot <- struct{}{}:
			p.take(b, time.Now())
			s.goStart(late, b, starting)
		case <-wake:
		case <-ctx.Done():
		}
		s.pacedEvents.Store(int64(p.events))
	}
	for {
		select {
		case a := <-s.attempted:
			p.add(a, time.Now())
			continue
		default:
		}
		break
	}
	for _, b := range p.packing.bursts {
		if late.Err() != nil {
			return
		}
		s.slots <- struct{}{}
		s.goStart(late, b, starting)
	}
}
