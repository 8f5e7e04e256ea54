package delivery

import (
	"context"
	"log/slog"
	"time"

	"grapnel/internal/hook"
)

// A delivery that can't be sent now, because its webhook is over a limit, held or
// unavailable, is deferred: it waits without a worker's place and without a workflow of its
// own. The webhook's drain, one workflow however many deliveries wait, sends them later.

// throttlePatience is how long throttled jobs wait in their run for the next place to come
// free; then all of them are deferred. While places do come free this is quicker than a drain.
// Behind a rate limit it is not: a drain too can only send one after the other.
const throttlePatience = time.Second

// throttlePoll is how often a run looks for a place that another run has left.
const throttlePoll = 5 * time.Millisecond

// throttled are the jobs of one webhook that are due and over a limit.
type throttled struct {
	// since is the time when the last of them got a place; behind a rate limit, when the first
	// of them was throttled.
	since time.Time
	list  []queued
}

// start sends a job if its webhook's limits allow it; otherwise the job is throttled or
// deferred. At-most-once jobs are collected instead of sent.
func (r *run) start(ctx context.Context, q queued, now time.Time, atMostOnce *[]queued) {
	id := q.job.Webhook.ID
	if t := r.throttled[id]; t != nil {
		t.list = append(t.list, q)
		return
	}
	switch r.engine.limiter.enter(q.job.Webhook, q.job.PayloadSize, now) {
	case allow:
		r.send(ctx, q, atMostOnce)
	case throttle:
		r.throttled[id] = &throttled{since: now, list: []queued{q}}
	case open:
		r.deferFor(q.job, hook.WaitUnavailable)
	}
}

// send sends a job that the limiter has allowed. A job with a large payload, or one that finds
// no memory for its request, gets its memory first.
func (r *run) send(ctx context.Context, q queued, atMostOnce *[]queued) {
	r.inFlight++
	if q.job.PayloadSize > 0 || !r.engine.budget.hasRequest() {
		r.unfunded = append(r.unfunded, q)
		return
	}
	if q.job.AtMostOnce() {
		*atMostOnce = append(*atMostOnce, q)
		return
	}
	r.engine.senders.do(func() { r.finish(r.sendNext(ctx, q)) })
}

// startThrottled gives the throttled jobs the places that have come free, and defers jobs that
// have waited for too long.
func (r *run) startThrottled(ctx context.Context, now time.Time, atMostOnce *[]queued) {
	for id, t := range r.throttled {
	places:
		for len(t.list) > 0 && r.inFlight < r.engine.concurrency {
			next := t.list[0]
			if !r.fits(next, now) {
				break
			}
			switch r.engine.limiter.enter(next.job.Webhook, next.job.PayloadSize, now) {
			case allow:
				if t.list = t.list[1:]; next.job.Webhook.RateLimit == 0 {
					t.since = now
				}
				r.send(ctx, next, atMostOnce)
			case throttle:
				break places
			case open:
				t.list = t.list[1:]
				r.deferFor(next.job, hook.WaitUnavailable)
			}
		}
		if now.Sub(t.since) >= throttlePatience && !r.draining {
			for _, q := range t.list {
				r.deferJob(q.job)
			}
			t.list = nil
		}
		if len(t.list) == 0 {
			delete(r.throttled, id)
		}
	}
}

// deferJob defers a job for the reason that its webhook gives.
func (r *run) deferJob(job *hook.Job) { r.deferFor(job, job.Webhook.WaitReason()) }

// deferFor defers a job for a reason. The store learns of it at the end of the run. In a drain
// the delivery is deferred already.
func (r *run) deferFor(job *hook.Job, reason hook.WaitReason) {
	d := job.Delivery
	d.Waits = &hook.Wait{Reason: reason, Since: r.engine.now()}
	if r.draining {
		r.stillDeferred = append(r.stillDeferred, d)
		return
	}
	r.deferred = append(r.deferred, d)
}

// handOver writes the deferred deliveries to the store, and starts the drains of their
// webhooks.
func (r *run) handOver(ctx context.Context) error {
	if len(r.deferred) == 0 {
		return nil
	}
	e := r.engine
	seen := map[hook.WebhookID]bool{}
	var webhooks []hook.WebhookID
	for i := range r.deferred {
		r.deferred[i].Deferred = true
		if id := r.deferred[i].WebhookID; !seen[id] {
			seen[id] = true
			webhooks = append(webhooks, id)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordMargin)
	defer cancel()
	err := e.whileUnavailable(ctx, "defer", len(r.deferred), func() error {
		return e.deferredStore.Defer(ctx, idsOf(r.deferred), webhooks)
	})
	if err != nil {
		return err
	}
	if r.settled != nil {
		for i := range r.deferred {
			r.settled(r.deferred[i])
		}
	}
	for _, id := range webhooks {
		if err := e.drains.Drain(ctx, id); err != nil {
			// The sweeper starts it later.
			e.log.WarnContext(ctx, "drain not started", slog.String("webhook_id", id.String()), slog.Any("error", err))
		}
	}
	return nil
}

// trip opens the breaker of a webhook. If the store can't be told, the next unavailable
// attempts trip it.
func (e *Engine) trip(ctx context.Context, id hook.WebhookID) {
	e.log.WarnContext(ctx, "endpoint unavailable: breaker tripped", slog.String("webhook_id", id.String()))
	if err := e.deferredStore.SetBreaker(ctx, id, true); err != nil {
		e.log.WarnContext(ctx, "breaker not tripped", slog.String("webhook_id", id.String()), slog.Any("error", err))
	}
}

func idsOf(list []hook.Delivery) []hook.DeliveryID {
	ids := make([]hook.DeliveryID, 0, len(list))
	for i := range list {
		ids = append(ids, list[i].ID)
	}
	return ids
}
