package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/worker"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// Deliver sends what is due of the events' deliveries and records every attempt.
// While deliveries are outstanding it returns an error that asks for the next
// attempt just when the earliest of them is due.
func (a *Activities) Deliver(ctx context.Context, in contract.SliceInput) (contract.DeliverResult, error) {
	share, err := a.loading(ctx, in.Most())
	if err != nil {
		return contract.DeliverResult{}, err
	}
	defer share.release()
	jobs, err := a.store.Outstanding(ctx, in.EventIDs, in.Slice, in.Of)
	if err != nil {
		return contract.DeliverResult{}, a.ours(ctx, "load deliveries", err)
	}
	return a.deliver(ctx, in, jobs, share)
}

func (a *Activities) deliver(ctx context.Context, in contract.SliceInput, jobs []hook.Job, share *share) (contract.DeliverResult, error) {
	r := newRun(ctx, a, len(jobs))
	r.share = share
	if err := r.admit(ctx, jobs); err != nil {
		return contract.DeliverResult{}, a.ours(ctx, "end deliveries", err)
	}
	err := r.loop(ctx)
	if failed := r.handOver(ctx); failed != nil {
		return contract.DeliverResult{}, a.ours(ctx, "park deliveries", failed)
	}
	if outstanding := r.outstanding(); len(outstanding) > 0 {
		heartbeat(ctx, outstanding)
		return contract.DeliverResult{}, r.comeAgain(ctx, in, outstanding, err)
	}
	if r.done = append(r.done, r.parked...); len(r.done) == in.Deliveries {
		return summarize(r.done), nil
	}
	// Some were finished before, or are another slice's.
	all, err := a.lookup.States(ctx, in.EventIDs, in.Slice, in.Of)
	if err != nil {
		return contract.DeliverResult{}, a.ours(ctx, "load deliveries", err)
	}
	return summarize(all), nil
}

// comeAgain asks for the next run: when the next delivery is due, or what was in the way
// may be gone.
func (r *run) comeAgain(ctx context.Context, in contract.SliceInput, outstanding []hook.Delivery, err error) error {
	switch {
	case errors.Is(err, errMemory):
		return r.memoryLater(len(outstanding))
	case err != nil:
		return r.ours(ctx, "deliver", err)
	case r.cutShort(ctx):
		return r.ours(ctx, "deliver", worker.ErrWorkerShutdown)
	case len(r.waiting) == 0 && len(r.unreadable) == 0:
		return r.ours(ctx, "deliver", errHeld)
	}
	return retry(outstanding, in.Deliveries, r.soonest())
}

// errHeld says that what is left can't be sent now, for a reason that was logged.
var errHeld = errors.New("deliveries are held")
