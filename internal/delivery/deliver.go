package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// Report is what a run has done.
type Report struct {
	// Deliveries are the deliveries that have ended or were deferred. If nothing is
	// outstanding, Deliver returns all of its slice, also those that ended before.
	Deliveries []hook.Delivery
	// Outstanding are the deliveries that are left for the next run.
	Outstanding []hook.Delivery
	// NextIn is the delay of the next run; set if deliveries are outstanding without an error,
	// and with ErrUnreadable.
	NextIn time.Duration
	// Attempts counts the requests that were made, Answered those that got a response, whatever
	// its status.
	Attempts, Answered int
}

// Deliver sends the due deliveries of a slice and records every attempt. Its errors are
// failures of Grapnel's own; with ErrMemory, ErrStopping and ErrBlocked another run goes on.
func (e *Engine) Deliver(ctx context.Context, w Window, in contract.SliceInput) (Report, error) {
	joined, err := e.join(ctx, w, in.EventIDs)
	if err != nil {
		return Report{}, &StepError{"wait for the first attempts", err}
	}
	share, err := e.reserve(ctx, w, in.Most())
	if err != nil {
		return Report{}, &StepError{"load deliveries", err}
	}
	defer share.release()
	jobs, err := e.store.Outstanding(ctx, in.EventIDs, in.Slice, in.Of)
	if err != nil {
		return Report{}, &StepError{"load deliveries", err}
	}
	if !joined || in.Owner != (hook.ProcessID{}) {
		if list, err := e.beingAttempted(ctx, w, in.Owner, joined, jobs); err != nil || len(list) > 0 {
			return Report{Outstanding: list, NextIn: ownerPause}, err
		}
	}
	return e.deliver(ctx, w, in, jobs, share)
}

// At ordinary rates a local activity makes the first attempts, inside the workflow's first
// task: that takes a quarter less time from publish to receipt, and a third less work of
// Temporal, than an activity. The price is that a receiver that hangs holds up a workflow task,
// and a worker has far fewer places for those than for activities. So only deliveries that
// promise to be quick get inline attempts; the regular activity makes the others, and all
// further attempts.

// DeliverInline is Deliver for a local activity. If it has not sent, because the deliveries do
// not promise to be quick, it returns the reason, for a person.
func (e *Engine) DeliverInline(ctx context.Context, w Window, in contract.SliceInput) (report Report, reason string, err error) {
	// Another process may start the workflow of an event whose lease has lapsed while its request is in flight here.
	if e.immediate != nil && e.immediate.find(in.EventIDs[0]) != nil {
		return Report{}, textBeingAttempted, nil
	}
	if !e.limiter.enterInline() {
		return Report{}, "busy", nil
	}
	defer e.limiter.leaveInline()
	share, ok := e.tryReserve(in.Most())
	if !ok {
		return Report{}, "busy", nil
	}
	defer share.release()
	jobs, err := e.store.Outstanding(ctx, in.EventIDs, in.Slice, in.Of)
	if err != nil {
		e.log.WarnContext(ctx, "load deliveries", slog.Any("error", err))
		return Report{}, "load deliveries: " + string(hook.KindOf(err)), nil
	}
	for i := range jobs {
		// Nothing is sent to a webhook that defers, and deferring is quick.
		webhook := jobs[i].Webhook
		if webhook == nil || webhook.Deferring() {
			continue
		}
		if webhook.Health != hook.HealthHealthy || e.limiter.inFlight(webhook.ID) >= maxInlineInFlight {
			return Report{}, webhook.ID.String() + " is slow or failing", nil
		}
	}
	report, err = e.deliver(ctx, w, in, jobs, share)
	return report, "", err
}

// do sends and defers jobs. A StepError says that nothing is known of the deliveries.
func (r *run) do(ctx context.Context, jobs []hook.Job) error {
	if err := r.admit(ctx, jobs); err != nil {
		return &StepError{"end deliveries", err}
	}
	err := r.loop(ctx)
	if failed := r.handOver(ctx); failed != nil {
		return &StepError{"defer deliveries", failed}
	}
	return err
}

func (e *Engine) deliver(ctx context.Context, w Window, in contract.SliceInput, jobs []hook.Job, s *share) (Report, error) {
	r := e.newRun(w, len(jobs), s)
	err := r.do(ctx, jobs)
	var failed *StepError
	if errors.As(err, &failed) {
		return Report{}, failed
	}
	if report := (Report{Outstanding: r.outstanding()}); len(report.Outstanding) > 0 {
		switch {
		case err != nil:
			return report, &StepError{"deliver", err}
		case r.cutShort(ctx):
			return report, &StepError{"deliver", ErrStopping}
		case len(r.queue) == 0 && len(r.unreadable) == 0:
			return report, &StepError{"deliver", ErrBlocked}
		}
		report.NextIn = r.soonest()
		return report, nil
	}
	if r.ended = append(r.ended, r.deferred...); len(r.ended) == in.Deliveries {
		return Report{Deliveries: r.ended}, nil
	}
	// Some ended before, or are another slice's.
	all, err := e.lookup.States(ctx, in.EventIDs, in.Slice, in.Of)
	if err != nil {
		return Report{}, &StepError{"load deliveries", err}
	}
	return Report{Deliveries: all}, nil
}
