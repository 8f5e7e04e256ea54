package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"grapnel/internal/hook"
)

// largeData is the large data of an event, shared by the requests that carry it and began
// together.
type largeData struct {
	quota *quota
	data  []byte
	bytes int64
	users atomic.Int32
}

// part is the memory of one request for its payload: a share in the data, and the bytes of its
// body.
type part struct {
	*largeData
	body int64
}

// end gives back the memory of the request.
func (p part) end() {
	if p.largeData == nil {
		return
	}
	p.quota.give(p.body)
	if p.users.Add(-1) == 0 {
		p.data = nil
		p.quota.give(p.bytes)
	}
}

// takePayload waits for the memory of a job's payload and its body.
func (b *budget) takePayload(ctx context.Context, size int) (part, error) {
	got, err := b.payloads.take(ctx, funds(size))
	if err != nil {
		return part{}, err
	}
	return newPart(b.payloads, got), nil
}

// tryPayload is takePayload without waiting.
func (b *budget) tryPayload(size int) (part, bool) {
	got, ok := b.payloads.try(funds(size))
	if !ok {
		return part{}, false
	}
	return newPart(b.payloads, got), true
}

// newPart returns the part of the first request with a payload.
func newPart(q *quota, got int64) part {
	p := part{largeData: &largeData{quota: q, bytes: got / 2}, body: got - got/2}
	p.users.Store(1)
	return p
}

// another returns the part of one more request with the same payload.
func (p *largeData) another(size int) (part, bool) {
	body, ok := p.quota.try(int64(size) + envelope)
	if !ok {
		return part{}, false
	}
	p.users.Add(1)
	return part{p, body}, true
}

// parts holds the parts of a run's requests, by delivery.
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

// fund gets memory for jobs, loads their payloads and sends them: as many together as there is
// room for, with one statement.
func (r *run) fund(ctx context.Context, list []queued) {
	for len(list) > 0 {
		g := granted{run: r, payloads: map[hook.EventID]part{}}
		if err := g.first(ctx, list[0]); err != nil {
			r.finish(result{job: list[0].job, err: err, unfunded: true})
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

// granted are jobs that have their memory.
type granted struct {
	run      *run
	payloads map[hook.EventID]part
	// size is the number of bytes of payloads to be loaded.
	size int
}

// first gets the memory of the first job. It waits for it, unless its run must not.
func (g *granted) first(ctx context.Context, q queued) error {
	r := g.run
	switch {
	case g.next(q):
		return nil
	case r.share.local:
		return ErrMemory
	}
	before, cancel := r.beforeSending(ctx, q.job.Webhook.Timeout)
	defer cancel()
	defer r.window.whenStopping(cancel)()
	var p part
	if size := q.job.PayloadSize; size > 0 {
		var err error
		if p, err = r.engine.budget.takePayload(before, size); err != nil {
			return g.notFunded(ctx)
		}
	}
	if _, err := r.engine.budget.requests.take(before, requestBytes); err != nil {
		p.end()
		return g.notFunded(ctx)
	}
	g.add(q, p)
	return nil
}

// notFunded returns the reason why a job got no memory.
func (g *granted) notFunded(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case g.run.window.IsStopping():
		return ErrStopping
	}
	return ErrMemory
}

// next gets the memory of one more job, if there is room for it now.
func (g *granted) next(q queued) bool {
	budget := g.run.engine.budget
	if !budget.hasRequest() {
		return false
	}
	var p part
	ok := true
	if size := q.job.PayloadSize; size > 0 {
		if shared := g.payloads[q.job.Event.ID]; shared.largeData != nil {
			p, ok = shared.another(size)
		} else {
			p, ok = budget.tryPayload(size)
		}
	}
	if !ok {
		budget.requests.give(requestBytes)
		return false
	}
	g.add(q, p)
	return true
}

func (g *granted) add(q queued, p part) {
	if p.largeData == nil {
		return
	}
	if g.payloads[q.job.Event.ID].largeData == nil {
		g.payloads[q.job.Event.ID] = p
		g.size += q.job.PayloadSize
	}
	g.run.parts.add(q.job.Delivery.ID, p)
}

// send loads the payloads and sends the requests.
func (g *granted) send(ctx context.Context, list []queued) {
	r := g.run
	err := g.load(ctx, list)
	if err == nil && r.window.IsStopping() {
		err = ErrStopping
	}
	var atMostOnce []queued
	for _, q := range list {
		switch {
		case err != nil:
			r.finish(result{job: q.job, err: err})
		case q.job.AtMostOnce():
			atMostOnce = append(atMostOnce, q)
		default:
			r.engine.senders.do(func() { r.finish(r.sendNext(ctx, q)) })
		}
	}
	if len(atMostOnce) > 0 {
		go r.sendAtMostOnce(ctx, atMostOnce)
	}
}

func (g *granted) load(ctx context.Context, list []queued) error {
	if len(g.payloads) == 0 {
		return nil
	}
	var longest time.Duration
	for i := range list {
		longest = max(longest, list[i].job.Webhook.Timeout)
	}
	before, cancel := g.run.beforeSending(ctx, longest)
	defer cancel()
	return g.run.engine.loadPayloads(before, g.payloads)
}

// loadPayloads loads the data of events into their parts.
func (e *Engine) loadPayloads(ctx context.Context, payloads map[hook.EventID]part) error {
	ids := make([]hook.EventID, 0, len(payloads))
	for id := range payloads {
		ids = append(ids, id)
	}
	loaded, err := e.lookup.Payloads(ctx, ids)
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
