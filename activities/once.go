package activities

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// A Momento message is never sent twice, not even after a crash (M7). So the
// store is told before the request is made: the delivery is claimed. Who finds it
// claimed by a run that is gone can't know whether it was sent, and drops it.

// sendOnce claims at-most-once deliveries, all with one writing, and sends those
// that it got.
func (r *run) sendOnce(ctx context.Context, list []waiting) {
	claimed, err := r.claimUntil(ctx, list)
	for _, w := range list {
		switch {
		case err != nil:
			r.results <- result{job: w.job, err: err}
		case slices.Contains(claimed, w.job.Delivery.ID):
			go func() { r.results <- r.sendClaimed(ctx, w) }()
		default:
			go func() { r.results <- r.passOver(ctx, w) }()
		}
	}
}

// claimUntil claims, again and again while the store is away: without an answer
// nobody knows whether they are claimed, and what is claimed and not sent is lost.
// What is left of the activity must do for the attempts, and for recording them.
func (r *run) claimUntil(ctx context.Context, list []waiting) (claimed []hook.DeliveryID, err error) {
	ids := make([]hook.DeliveryID, 0, len(list))
	var longest time.Duration
	for i := range list {
		ids = append(ids, list[i].job.Delivery.ID)
		longest = max(longest, list[i].job.Webhook.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, r.deadline.Sub(r.now())-longest-recordMargin)
	defer cancel()
	err = r.insist(ctx, "claim", len(ids), func() error {
		claimed, err = r.store.ClaimDeliveries(ctx, ids, r.claim)
		return err
	})
	return claimed, err
}

// sendClaimed makes the one attempt. Where it certainly did not leave, the claim
// is taken back; where nobody will know, that is the delivery's end.
func (r *run) sendClaimed(ctx context.Context, w waiting) result {
	job, ended, err := r.fresh(ctx, w)
	switch {
	case err != nil:
		return r.settle(ctx, result{job: job, err: errors.Join(hook.ErrNotSent, err)}, r.claim)
	case ended:
		return result{job: job, ended: true}
	}
	return r.settle(ctx, r.attempt(ctx, job, false), r.claim)
}

// settle puts right what the store was told of a request that we could not make.
func (a *Activities) settle(ctx context.Context, sent result, claim hook.Claim) result {
	if sent.err == nil {
		return sent
	}
	// A worker that is stopped has lost its context.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordMargin)
	defer cancel()
	ids := []hook.DeliveryID{sent.job.Delivery.ID}
	if errors.Is(sent.err, hook.ErrNotSent) {
		if err := a.store.ReleaseDeliveries(ctx, ids, claim); err != nil {
			a.log.WarnContext(ctx, "claim not released: the delivery will be dropped", slog.Any("error", err))
		}
		return sent
	}
	if err := a.store.DropDeliveries(ctx, ids); err != nil {
		return sent // the next run drops it
	}
	a.log.WarnContext(ctx, "outcome unknown", slog.String("delivery_id", ids[0].String()), slog.Any("error", sent.err))
	sent.job.Delivery = droppedDelivery(sent.job.Delivery)
	return result{job: sent.job, ended: true}
}

// passOver is the result of a delivery that another run has claimed, or that has
// ended.
func (r *run) passOver(ctx context.Context, w waiting) result {
	job, err := r.lookup.Job(ctx, w.job.Delivery.ID)
	if err != nil {
		return result{job: w.job, err: err}
	}
	if !job.Delivery.Outstanding() {
		return result{job: job, ended: true}
	}
	r.log.WarnContext(ctx, "claimed by another run", slog.String("delivery_id", job.Delivery.ID.String()))
	return result{job: job, held: true}
}

func droppedDelivery(d hook.Delivery) hook.Delivery {
	d.State, d.Error, d.NextAttemptAt = hook.StateDropped, hook.TextDropped, nil
	return d
}
