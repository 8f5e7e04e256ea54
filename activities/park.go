package activities

import (
	"context"
	"log/slog"
	"time"

	"grapnel/internal/hook"
)

// A delivery that can't be sent now, because its webhook is over a limit or
// unavailable, waits without a worker's place and without a workflow of its own: it is
// parked. The webhook's drain, one workflow however many deliveries wait, sends them
// when their turn has come.

// Parking keeps deliveries that wait for their webhook.
type DeferredStore interface {
	// Park hands outstanding deliveries over to the drains of their webhooks.
	Defer(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error
	// Parked loads a webhook's, the longest due first, at most limit of them.
	Deferred(ctx context.Context, webhook hook.WebhookID, limit int) (hook.DeferredPage, error)
	// ExpireDeferred fails deliveries whose event is older than age, at most limit of them.
	ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error)
	// Trip opens or closes the webhook's circuit breaker.
	SetBreaker(ctx context.Context, webhook hook.WebhookID, open bool) error
	// DrainSleeps notes when the drain will look again, so that a lost one is noticed, or
	// returns false: something has changed since it looked.
	DrainSleeps(ctx context.Context, webhook hook.WebhookID, n hook.Nap) (bool, error)
	// DrainEnds ends a drain, unless something is parked by now, or has changed.
	DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (bool, error)
}

// Drains starts the workflow that drains a webhook, unless it runs.
type Drains interface {
	Drain(ctx context.Context, webhook hook.WebhookID) error
}

// crowdPatience is how long what is over a limit waits in its run for the next place to
// come free; then all of it is parked. As long as places do come free it is quicker here;
// not so behind a rate limit, which knows no better than one after the other.
const crowdPatience = time.Second

// crowdLook is how often a run looks whether another one has left it a place.
const crowdLook = 5 * time.Millisecond

// crowd is what is due and over a limit of its webhook.
type crowd struct {
	// since is when the last of them got a place; behind a rate limit, the first.
	since time.Time
	list  []waiting
}

// begin puts in flight what its webhook's gate admits, lets the rest wait, or parks it.
func (r *run) begin(ctx context.Context, w waiting, now time.Time, once *[]waiting) {
	id := w.job.Webhook.ID
	if c := r.crowds[id]; c != nil {
		c.list = append(c.list, w)
		return
	}
	switch r.gates.enter(w.job.Webhook, w.job.PayloadSize, now) {
	case admitted:
		r.send(ctx, w, once)
	case full:
		r.crowds[id] = &crowd{since: now, list: []waiting{w}}
	case shut:
		r.parkAs(w.job, hook.WaitUnavailable)
	}
}

// send puts in flight what was admitted. What has a large payload, or finds no room for
// its request, gets its part of the budget first.
func (r *run) send(ctx context.Context, w waiting, once *[]waiting) {
	r.inFlight++
	if w.job.PayloadSize > 0 || !r.budget.hasRequest() {
		r.unfunded = append(r.unfunded, w)
		return
	}
	if w.job.AtMostOnce() {
		*once = append(*once, w)
		return
	}
	r.senders.do(func() { r.came(r.sendNext(ctx, w)) })
}

// readmit gives each crowd the places that have come free, and parks what has waited
// for too long.
func (r *run) readmit(ctx context.Context, now time.Time, once *[]waiting) {
	for id, c := range r.crowds {
	admission:
		for len(c.list) > 0 && r.inFlight < r.concurrency {
			next := c.list[0]
			if !r.fits(next, now) {
				break
			}
			switch r.gates.enter(next.job.Webhook, next.job.PayloadSize, now) {
			case admitted:
				if c.list = c.list[1:]; next.job.Webhook.RateLimit == 0 {
					c.since = now
				}
				r.send(ctx, next, once)
			case full:
				break admission
			case shut:
				c.list = c.list[1:]
				r.parkAs(next.job, hook.WaitUnavailable)
			}
		}
		if now.Sub(c.since) >= crowdPatience && !r.draining {
			for _, w := range c.list {
				r.park(w.job)
			}
			c.list = nil
		}
		if len(c.list) == 0 {
			delete(r.crowds, id)
		}
	}
}

// park sets a job aside, which waits for its webhook as that was loaded.
func (r *run) park(job *hook.Job) { r.parkAs(job, job.Webhook.WaitReason()) }

// parkAs sets a job aside for a reason; the store is told at the end of the run. In a
// drain it is parked already.
func (r *run) parkAs(job *hook.Job, reason hook.WaitReason) {
	d := job.Delivery
	d.Waits = &hook.Wait{Reason: reason, Since: r.now()}
	if r.draining {
		r.left = append(r.left, d)
		return
	}
	r.parked = append(r.parked, d)
}

// handOver tells the store what was parked, and sees to it that it is drained.
func (r *run) handOver(ctx context.Context) error {
	if len(r.parked) == 0 {
		return nil
	}
	seen := map[hook.WebhookID]bool{}
	var webhooks []hook.WebhookID
	for i := range r.parked {
		r.parked[i].Deferred = true
		if id := r.parked[i].WebhookID; !seen[id] {
			seen[id] = true
			webhooks = append(webhooks, id)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordMargin)
	defer cancel()
	err := r.insist(ctx, "park", len(r.parked), func() error { return r.parking.Defer(ctx, idsOf(r.parked), webhooks) })
	if err != nil {
		return err
	}
	for _, id := range webhooks {
		if err := r.drains.Drain(ctx, id); err != nil {
			// The sweeper will.
			r.log.WarnContext(ctx, "drain not started", slog.String("webhook_id", id.String()), slog.Any("error", err))
		}
	}
	return nil
}

// trip opens the breaker of a webhook; where the store can't be told, the next one
// that finds nobody there will.
func (a *Activities) trip(ctx context.Context, id hook.WebhookID) {
	a.log.WarnContext(ctx, "endpoint unavailable: breaker tripped", slog.String("webhook_id", id.String()))
	if err := a.parking.SetBreaker(ctx, id, true); err != nil {
		a.log.WarnContext(ctx, "breaker not tripped", slog.String("webhook_id", id.String()), slog.Any("error", err))
	}
}
