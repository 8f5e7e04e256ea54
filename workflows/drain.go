package workflows

import (
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/contract"
)

// Drain sends a webhook's deferred deliveries: those that were over one of its limits, or
// whose endpoint was unavailable (spec 9). A webhook with deferred deliveries has one drain,
// a webhook without them has none. It ends when nothing is deferred any more, and fails when
// a delivery failed for good.
func (w *Workflows) Drain(ctx workflow.Context, in contract.DrainInput) (contract.DrainResult, error) {
	var a *activities.Activities
	var r contract.DrainResult
	if err := workflow.ExecuteActivity(drainOptions(ctx), a.Drain, in).Get(ctx, &r); err != nil {
		return r, err
	}
	if r.Failed == 0 {
		return r, nil
	}
	return r, failedForGood(r.Failed, r.Succeeded+r.Failed+r.Canceled, 0, r.FirstFailed, r)
}
