package activities

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/worker"

	"grapnel/internal/hook"
)

// largeData is the large data of an event, shared by those requests that carry it and were
// begun together.
type largeData struct {
	pool  *pool
	data  []byte
	bytes int64
	users atomic.Int32
}

// part is what one request has of a payload: a share, and the bytes of its body.
type part struct {
	*largeData
	body int64
}

// end gives back what the request had.
func (p part) end() {
	if p.largeData == nil {
		return
	}
	p.pool.give(p.body)
	if p.users.Add(-1) == 0 {
		p.data = nil
		p.pool.give(p.bytes)
	}
}

// takePayload takes the budget for a job's payload and its body.
func (b *budget) takePayload(ctx context.Context, size int) (part, error) {
	got, err := b.payloads.take(ctx, funds(size))
	if err != nil {
		return part{}, err
	}
	return firstPart(b.payloads, got), nil
}

func (b *budget) tryPayload(size int) (part, bool) {
	got, ok := b.payloads.try(funds(size))
	if !ok {
		return part{}, false
	}
	return firstPart(b.payloads, got), true
}

func firstPart(pool *pool, got int64) part {
	p := part{largeData: &largeData{pool: pool, bytes: got / 2}, body: got - got/2}
	p.users.Store(1)
	return p
}

// another is the part of one more request with the same payload.
func (p *largeData) another(size int) (part, bool) {
	body, ok := p.pool.try(int64(size) + envelope)
	if !ok {
		return part{}, false
	}
	p.users.Add(1)
	return part{p, body}, true
}

// parts are what a run's requests have of large payloads.
type parts struct {
	mu sync.Mutex
	of map[hook.DeliveryID]part
}

func (p *parts) add(id hook.DeliveryID, of part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[hook.DeliveryID]part{}
	}
	p.of[id] = of
}

func (p *parts) get(id hook.DeliveryID) part {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[id]
}

func (p *parts) end(id hook.DeliveryID) {
	p.mu.Lock()
	ended := p.of[id]
	delete(p.of, id)
	p.mu.Unlock()
	ended.end()
}

// fund gets each of some deliveries its part of the budgets, and its payload, and sends
// it: as many together as there is room for, with one statement.
func (r *run) fund(ctx context.Context, list []waiting) {
	for len(list) > 0 {
		g := granted{run: r, payloads: map[hook.EventID]part{}}
		if err := g.first(ctx, list[0]); err != nil {
			r.came(result{job: list[0].job, err: err, unfunded: true})
			list = list[1:]
			continue
		}
		n := 1
		for n < len(list) && g.size < payloadsAtOnce && g.next(list[n]) {
			n++
		}
		g.send(ctx, list[:n])
		list = list[n:]
	}
}

// granted are deliveries that have their part of the budgets.
type granted struct {
	*run
	payloads map[hook.EventID]part
	// size is how many bytes of payloads are to be loaded.
	size int
}

// first waits for its part, unless its run must not.
func (g *granted) first(ctx context.Context, w waiting) error {
	switch {
	case g.next(w):
		return nil
	case g.share.local:
		return errMemory
	}
	before, cancel := g.beforeSending(ctx, w.job.Webhook.Timeout)
	defer cancel()
	defer g.whenStopping(cancel)()
	var p part
	if size := w.job.PayloadSize; size > 0 {
		var err error
		if p, err = g.budget.takePayload(before, size); err != nil {
			return g.notFunded(ctx)
		}
	}
	if _, err := g.budget.requests.take(before, requestBytes); err != nil {
		p.end()
		return g.notFunded(ctx)
	}
	g.add(w, p)
	return nil
}

// notFunded says why a delivery has no part of the budget.
func (g *granted) notFunded(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case g.isStopping():
		return worker.ErrWorkerShutdown
	}
	return errMemory
}

// next takes its part if there is room for it now.
func (g *granted) next(w waiting) bool {
	if !g.budget.hasRequest() {
		return false
	}
	var p part
	ok := true
	if size := w.job.PayloadSize; size > 0 {
		if shared := g.payloads[w.job.Event.ID]; shared.largeData != nil {
			p, ok = shared.another(size)
		} else {
			p, ok = g.budget.tryPayload(size)
		}
	}
	if !ok {
		g.budget.requests.give(requestBytes)
		return false
	}
	g.add(w, p)
	return true
}

func (g *granted) add(w waiting, p part) {
	if p.largeData == nil {
		return
	}
	if g.payloads[w.job.Event.ID].largeData == nil {
		g.payloads[w.job.Event.ID] = p
		g.size += w.job.PayloadSize
	}
	g.parts.add(w.job.Delivery.ID, p)
}

// send loads the payloads and sends the requests.
func (g *granted) send(ctx context.Context, list []waiting) {
	err := g.load(ctx, list)
	if err == nil && g.isStopping() {
		err = worker.ErrWorkerShutdown
	}
	var once []waiting
	for _, w := range list {
		switch {
		case err != nil:
			g.came(result{job: w.job, err: err})
		case w.job.AtMostOnce():
			once = append(once, w)
		default:
			g.senders.do(func() { g.came(g.sendNext(ctx, w)) })
		}
	}
	if len(once) > 0 {
		go g.sendOnce(ctx, once)
	}
}

func (g *granted) load(ctx context.Context, list []waiting) error {
	if len(g.payloads) == 0 {
		return nil
	}
	var longest time.Duration
	for i := range list {
		longest = max(longest, list[i].job.Webhook.Timeout)
	}
	before, cancel := g.beforeSending(ctx, longest)
	defer cancel()
	return g.loadPayloads(before, g.payloads)
}

func (a *Activities) loadPayloads(ctx context.Context, payloads map[hook.EventID]part) error {
	ids := make([]hook.EventID, 0, len(payloads))
	for id := range payloads {
		ids = append(ids, id)
	}
	loaded, err := a.lookup.Payloads(ctx, ids)
	if err != nil {
		return err
	}
	for id, p := range payloads {
		if p.data = loaded[id]; p.data == nil {
			return hook.NotFound("event")
		}
	}
	return nil
}

// attempt is Activities.attempt with the payload that was loaded for the delivery. What
// it returns does not hold it.
func (r *run) attempt(ctx context.Context, job *hook.Job, manual bool) result {
	return r.attemptWith(ctx, job, r.parts.get(job.Delivery.ID), manual)
}

func (a *Activities) attemptWith(ctx context.Context, job *hook.Job, p part, manual bool) result {
	if job.PayloadSize == 0 {
		return a.attempt(ctx, job, manual)
	}
	if p.largeData == nil || len(p.data) != job.PayloadSize {
		return result{job: job, err: errors.Join(hook.ErrNotSent, errNoPayload)}
	}
	whole := *job
	whole.Event.Data, whole.PayloadSize = p.data, 0
	sent := a.attempt(ctx, &whole, manual)
	sent.job = job
	return sent
}

// errNoPayload says that a request would have gone out without what it is to carry.
var errNoPayload = errors.New("payload not loaded")
