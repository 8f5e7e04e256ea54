package activities

import (
	"context"
	"log/slog"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// At ordinary rates the first attempt is made by a local activity, inside of the
// workflow's first task: a quarter less time from publish to receipt, and a third
// less work for Temporal, than an activity of its own. The price is that a receiver
// that hangs then holds up a workflow task, of which a worker has far fewer than
// activities. So this way is for what promises to be quick, and what does not, or
// has an attempt to come, is the regular activity's.

const (
	// maxFirst is how many local activities send at once, a third of a worker's
	// places for workflow tasks.
	maxFirst = 64
	// maxFirstInFlight is how many requests to one webhook may be under way before its
	// next events take the regular way: one that has just begun to hang gets no more
	// than that of the places above.
	maxFirstInFlight = 8
)

// DeliverFirst is Deliver as a local activity. It never fails: what it did not do is
// left to Deliver.
func (a *Activities) DeliverFirst(ctx context.Context, in contract.SliceInput) (contract.InlineResult, error) {
	if !a.gates.enterFirst() {
		return contract.InlineResult{Reason: "busy"}, nil
	}
	defer a.gates.leaveFirst()
	share, ok := a.loadingFirst(in.Most())
	if !ok {
		return contract.InlineResult{Reason: "busy"}, nil
	}
	defer share.release()
	jobs, err := a.loaded(ctx, in)
	if err != nil {
		a.log.WarnContext(ctx, "load deliveries", slog.Any("error", err))
		return contract.InlineResult{Reason: "load deliveries: " + string(hook.KindOf(err))}, nil
	}
	for i := range jobs {
		// To one that is held nothing is sent: to park its deliveries is quick.
		if w := jobs[i].Webhook; w != nil && !w.Deferring() && (w.Health != hook.HealthHealthy || a.gates.inFlight(w.ID) >= maxFirstInFlight) {
			return contract.InlineResult{Reason: w.ID.String() + " is slow or failing"}, nil
		}
	}
	result, err := a.deliver(ctx, in, jobs, share)
	if err != nil {
		return contract.InlineResult{Reason: messageOf(err)}, nil
	}
	return contract.InlineResult{DeliverResult: result, Done: true}, nil
}

// loaded is what Ahead has loaded, or what is loaded now.
func (a *Activities) loaded(ctx context.Context, in contract.SliceInput) ([]hook.Job, error) {
	if jobs := a.ahead.take(ctx, in.EventIDs[0], a.now()); len(jobs) > 0 {
		return jobs, nil
	}
	return a.store.Outstanding(ctx, in.EventIDs, in.Slice, in.Of)
}
