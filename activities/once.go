package activities

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// A Momento message is never sent twice, not even after a crash (M7). So the
// store is told before the request is made: the delivery is claimed. Who finds it
// claimed by a run that is gone can't know whether it was sent, and drops it.

// dropLost ends deliveries that were claimed by a run that is gone. A claim that is
// younger than any run may be one that is being sent right now, by hand for
// instance: it is held.
func (r *run) dropLost(ctx context.Context, claimed []hook.Delivery) error {
	if len(claimed) == 0 {
		return nil
	}
	dropped, err := r.store.DropDeliveries(ctx, idsOf(claimed), contract.RunTimeout)
	if err != nil {
		return err
	}
	for _, d := range claimed {
		if !slices.Contains(dropped, d.ID) {
			r.held = append(r.held, d)
			continue
		}
		r.log.WarnContext(ctx, "outcome unknown: the run that was sending is gone", slog.String("delivery_id", d.ID.String()))
		r.done = append(r.done, droppedDelivery(d))
	}
	return nil
}

// sendOnce claims at-most-once deliveries, all with one writing, and sends those
// that it got.
func (r *run) sendOnce(ctx context.Context, list []waiting) {
	claimed, read, err := r.claimUntil(ctx, list)
	for _, w := range list {
		switch {
		case err != nil:
			r.came(result{job: w.job, err: err})
		case slices.Contains(claimed, w.job.Delivery.ID):
			r.senders.do(func() { r.came(r.sendClaimed(ctx, w.job, read)) })
		default:
			r.senders.do(func() { r.came(r.claimAnew(ctx, w.job)) })
		}
	}
}

// claimUntil claims, again and again while the store is away: without an answer
// nobody knows whether they are claimed. read is a time from before it was seen that the
// webhooks of those that it got are as they were loaded.
func (r *run) claimUntil(ctx context.Context, list []waiting) (claimed []hook.DeliveryID, read time.Time, err error) {
	ids, wanted := make([]hook.DeliveryID, 0, len(list)), make([]hook.Wanted, 0, len(list))
	var longest time.Duration
	for i := range list {
		job := list[i].job
		longest = max(longest, job.Webhook.Timeout)
		ids = append(ids, job.Delivery.ID)
		if !r.waits(job) {
			wanted = append(wanted, hook.Wanted{ID: job.Delivery.ID, Version: job.Webhook.Version})
		}
	}
	if len(wanted) == 0 {
		return nil, r.now(), nil
	}
	before, cancel := r.beforeSending(ctx, longest)
	defer cancel()
	err = r.insist(before, "claim", len(wanted), func() error {
		read = r.now()
		claimed, err = r.store.ClaimDeliveries(before, wanted, r.claim)
		return err
	})
	if err != nil {
		// They may be claimed all the same, and nothing was sent.
		r.release(ctx, ids, r.claim)
	}
	return claimed, read, err
}

// beforeSending bounds what is done before requests of that timeout: what is left
// of the run must do for them, and for recording them.
func (r *run) beforeSending(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.deadline.Sub(r.now())-timeout-recordMargin)
}

// sendClaimed makes the one attempt, where the webhook is still as it was read. Where the
// request certainly did not leave, the claim is taken back; where nobody will know, that is
// the delivery's end.
func (r *run) sendClaimed(ctx context.Context, job *hook.Job, read time.Time) result {
	before, cancel := r.beforeSending(ctx, job.Webhook.Timeout)
	defer cancel()
	var holds bool
	err := r.insist(before, "look", 1, func() (err error) {
		holds, err = r.looks.hold(before, job.Webhook.ID, job.Webhook.Version, read)
		return err
	})
	switch {
	case err != nil:
		return r.settle(ctx, result{job: job, err: errors.Join(hook.ErrNotSent, err)}, r.claim)
	case !holds:
		return r.claimAnew(ctx, job)
	}
	return r.settle(ctx, r.attempt(ctx, job, false), r.claim)
}

// claimAnew is for what could not be claimed, or was claimed for a webhook that has changed:
// it is loaded anew and, if it is still to be sent, claimed again.
func (r *run) claimAnew(ctx context.Context, job *hook.Job) result {
	before, cancel := r.beforeSending(ctx, job.Webhook.Timeout)
	defer cancel()
	for range mostLooks {
		// A claim whose answer got lost may be ours.
		r.release(ctx, []hook.DeliveryID{job.Delivery.ID}, r.claim)
		ended := false
		err := r.insist(before, "load", 1, func() (err error) {
			job, ended, err = r.loadAnew(before, job)
			return err
		})
		switch {
		case err != nil:
			return result{job: job, err: err}
		case ended:
			return result{job: job, ended: true}
		case job.Delivery.State == hook.StateSending:
			r.log.WarnContext(ctx, "claimed by another run", slog.String("delivery_id", job.Delivery.ID.String()))
			return result{job: job, held: true}
		case r.waits(job):
			return result{job: job, parked: true}
		}
		claimed, read, err := r.claimUntil(ctx, []waiting{{job: job}})
		if err != nil {
			return result{job: job, err: err}
		}
		if len(claimed) == 0 {
			continue
		}
		if holds, err := r.looks.hold(before, job.Webhook.ID, job.Webhook.Version, read); err == nil && holds {
			return r.settle(ctx, r.attempt(ctx, job, false), r.claim)
		}
	}
	r.release(ctx, []hook.DeliveryID{job.Delivery.ID}, r.claim)
	return result{job: job, err: errMoving}
}

// settle puts right what the store was told of a request that we could not make.
func (a *Activities) settle(ctx context.Context, sent result, claim hook.Claim) result {
	if sent.err == nil {
		return sent
	}
	ids := []hook.DeliveryID{sent.job.Delivery.ID}
	if errors.Is(sent.err, hook.ErrNotSent) {
		a.release(ctx, ids, claim)
		return sent
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordMargin)
	defer cancel()
	err := a.insist(ctx, "drop", 1, func() error {
		_, err := a.store.DropDeliveries(ctx, ids, 0)
		return err
	})
	if err != nil {
		return sent // a later run drops it
	}
	a.log.WarnContext(ctx, "outcome unknown", slog.String("delivery_id", ids[0].String()), slog.Any("error", sent.err))
	sent.job.Delivery = droppedDelivery(sent.job.Delivery)
	return result{job: sent.job, ended: true}
}

// release takes a claim back, for a while also when the store is away: what stays
// claimed is dropped, although nothing was sent. A worker that is stopped has lost
// its context, and does it all the same.
func (a *Activities) release(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordMargin)
	defer cancel()
	err := a.insist(ctx, "release", len(ids), func() error { return a.store.ReleaseDeliveries(ctx, ids, claim) })
	if err != nil {
		a.log.WarnContext(ctx, "claim not released: what it holds will be dropped", slog.Int("deliveries", len(ids)), slog.Any("error", err))
	}
}

func idsOf(list []hook.Delivery) []hook.DeliveryID {
	ids := make([]hook.DeliveryID, 0, len(list))
	for i := range list {
		ids = append(ids, list[i].ID)
	}
	return ids
}

func droppedDelivery(d hook.Delivery) hook.Delivery {
	d.State, d.Error, d.NextAttemptAt = hook.StateDropped, hook.TextDropped, nil
	return d
}
