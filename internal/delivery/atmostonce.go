package delivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// A Momento message is never sent twice, not even after a crash (M7). So a run claims the
// delivery in the store before it makes the request. A later run that finds a claim of a run
// that is gone can't know whether the message was sent, and drops the delivery.

// dropLost ends deliveries that were claimed by a run that is gone. A claim that is younger
// than the longest run may belong to an attempt in flight, for instance by hand: that delivery
// is blocked.
func (r *run) dropLost(ctx context.Context, claimed []hook.Delivery) error {
	if len(claimed) == 0 {
		return nil
	}
	dropped, err := r.engine.store.DropDeliveries(ctx, idsOf(claimed), contract.RunTimeout)
	if err != nil {
		return err
	}
	r.engine.Dispatch(dropped.Starts)
	for _, d := range claimed {
		if !slices.Contains(dropped.Deliveries, d.ID) {
			r.blocked = append(r.blocked, d)
			continue
		}
		r.engine.log.WarnContext(ctx, "outcome unknown: the run that was sending is gone", slog.String("delivery_id", d.ID.String()))
		r.end(droppedDelivery(d))
	}
	return nil
}

// sendAtMostOnce claims at-most-once deliveries, all with one statement, and sends the claimed
// ones.
func (r *run) sendAtMostOnce(ctx context.Context, list []queued) {
	claimed, read, err := r.claimAll(ctx, list)
	for _, q := range list {
		switch {
		case err != nil:
			r.finish(result{job: q.job, err: err})
		case slices.Contains(claimed, q.job.Delivery.ID):
			r.engine.senders.do(func() { r.finish(r.sendClaimed(ctx, q.job, read)) })
		default:
			r.engine.senders.do(func() { r.finish(r.reclaim(ctx, q.job)) })
		}
	}
}

// claimAll claims deliveries. It tries again while the store is unavailable: without an answer
// nobody knows whether they are claimed. The webhooks of the claimed ones were seen unchanged
// at read or later.
func (r *run) claimAll(ctx context.Context, list []queued) (claimed []hook.DeliveryID, read time.Time, err error) {
	ids, wanted := make([]hook.DeliveryID, 0, len(list)), make([]hook.Wanted, 0, len(list))
	var longest time.Duration
	for i := range list {
		job := list[i].job
		longest = max(longest, job.Webhook.Timeout)
		ids = append(ids, job.Delivery.ID)
		if !r.mustDefer(job) {
			wanted = append(wanted, hook.Wanted{ID: job.Delivery.ID, Version: job.Webhook.Version})
		}
	}
	if len(wanted) == 0 {
		return nil, r.engine.now(), nil
	}
	before, cancel := r.beforeSending(ctx, longest)
	defer cancel()
	err = r.engine.whileUnavailable(before, "claim", len(wanted), func() error {
		read = r.engine.now()
		claimed, err = r.engine.store.ClaimDeliveries(before, wanted, r.claim)
		return err
	})
	if err != nil {
		// They may be claimed all the same, and nothing was sent.
		r.engine.release(ctx, ids, r.claim)
	}
	return claimed, read, err
}

// beforeSending bounds the work before requests of that timeout: the rest of the run must be
// long enough for the requests, and for recording them.
func (r *run) beforeSending(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.deadline.Sub(r.engine.now())-timeout-recordMargin)
}

// sendClaimed makes the only attempt of a claimed delivery, if the webhook is still as it was
// read. If the request certainly did not leave, it takes the claim back; if nobody can know,
// the delivery ends.
func (r *run) sendClaimed(ctx context.Context, job *hook.Job, read time.Time) result {
	e := r.engine
	before, cancel := r.beforeSending(ctx, job.Webhook.Timeout)
	defer cancel()
	var holds bool
	err := e.whileUnavailable(before, "check version", 1, func() (err error) {
		holds, err = e.versions.holds(before, job.Webhook.ID, job.Webhook.Version, read)
		return err
	})
	switch {
	case err != nil:
		return e.settle(ctx, result{job: job, err: errors.Join(hook.ErrNotSent, err)}, r.claim)
	case !holds:
		return r.reclaim(ctx, job)
	}
	return e.settle(ctx, r.attempt(ctx, job, false), r.claim)
}

// reclaim handles a delivery that could not be claimed, or that was claimed for a webhook that
// has changed: it loads the delivery again and, if that is still to be sent, claims it again.
func (r *run) reclaim(ctx context.Context, job *hook.Job) result {
	e := r.engine
	before, cancel := r.beforeSending(ctx, job.Webhook.Timeout)
	defer cancel()
	for range maxChecks {
		// A claim whose answer got lost may be ours.
		e.release(ctx, []hook.DeliveryID{job.Delivery.ID}, r.claim)
		ended := false
		err := e.whileUnavailable(before, "load", 1, func() (err error) {
			job, ended, err = e.reload(before, job)
			return err
		})
		switch {
		case err != nil:
			return result{job: job, err: err}
		case ended:
			return result{job: job, ended: true}
		case job.Delivery.State == hook.StateSending:
			e.log.WarnContext(ctx, "claimed by another run", slog.String("delivery_id", job.Delivery.ID.String()))
			return result{job: job, claimedElsewhere: true}
		case r.mustDefer(job):
			return result{job: job, deferred: true}
		}
		claimed, read, err := r.claimAll(ctx, []queued{{job: job}})
		if err != nil {
			return result{job: job, err: err}
		}
		if len(claimed) == 0 {
			continue
		}
		if holds, err := e.versions.holds(before, job.Webhook.ID, job.Webhook.Version, read); err == nil && holds {
			return e.settle(ctx, r.attempt(ctx, job, false), r.claim)
		}
	}
	e.release(ctx, []hook.DeliveryID{job.Delivery.ID}, r.claim)
	return result{job: job, err: errChanging}
}

// settle corrects the store after a request that could not be made: it takes the claim back
// if nothing was sent, and drops the delivery if nobody can know.
func (e *Engine) settle(ctx context.Context, sent result, claim hook.Claim) result {
	if sent.err == nil {
		return sent
	}
	ids := []hook.DeliveryID{sent.job.Delivery.ID}
	if errors.Is(sent.err, hook.ErrNotSent) {
		e.release(ctx, ids, claim)
		return sent
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordMargin)
	defer cancel()
	err := e.whileUnavailable(ctx, "drop", 1, func() error {
		dropped, err := e.store.DropDeliveries(ctx, ids, 0)
		e.Dispatch(dropped.Starts)
		return err
	})
	if err != nil {
		return sent // a later run drops it
	}
	e.log.WarnContext(ctx, "outcome unknown", slog.String("delivery_id", ids[0].String()), slog.Any("error", sent.err))
	sent.job.Delivery = droppedDelivery(sent.job.Delivery)
	return result{job: sent.job, ended: true}
}

// release takes a claim back, for a while also when the store is unavailable: a delivery that
// stays claimed is dropped, although nothing was sent. It works after the context has ended
// too, as that of a worker that stops has.
func (e *Engine) release(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordMargin)
	defer cancel()
	err := e.whileUnavailable(ctx, "release", len(ids), func() error { return e.store.ReleaseDeliveries(ctx, ids, claim) })
	if err != nil {
		e.log.WarnContext(ctx, "claim not released: its deliveries will be dropped", slog.Int("deliveries", len(ids)), slog.Any("error", err))
	}
}

func droppedDelivery(d hook.Delivery) hook.Delivery {
	d.State, d.Error, d.NextAttemptAt = hook.StateDropped, hook.TextDropped, nil
	return d
}
