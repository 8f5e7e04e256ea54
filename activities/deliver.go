package activities

import (
	"context"
	"errors"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
)

// Deliver sends the due deliveries of a slice and records every attempt. While deliveries are
// outstanding it returns an error that asks for the next run when the earliest of them is due.
func (a *Activities) Deliver(ctx context.Context, in contract.SliceInput) (contract.DeliverResult, error) {
	report, err := a.engine.Deliver(ctx, a.window(ctx), in)
	return a.result(ctx, in, &report, err)
}

// result turns the engine's report into the result of Deliver, or an error that asks for the
// next run.
func (a *Activities) result(
	ctx context.Context, in contract.SliceInput, report *delivery.Report, err error,
) (contract.DeliverResult, error) {
	outstanding := report.Outstanding
	if len(outstanding) > 0 {
		heartbeat(ctx, outstanding)
	}
	switch {
	case errors.Is(err, delivery.ErrMemory) && len(outstanding) == 0: // nothing was loaded
		return contract.DeliverResult{}, a.memoryLater(in.Most())
	case errors.Is(err, delivery.ErrMemory):
		return contract.DeliverResult{}, a.memoryLater(len(outstanding))
	case err != nil:
		return contract.DeliverResult{}, a.ours(ctx, "deliver", err)
	case len(outstanding) > 0:
		return contract.DeliverResult{}, outstandingError(outstanding, in.Deliveries, report.NextIn)
	}
	return contract.Summarize(report.Deliveries), nil
}
