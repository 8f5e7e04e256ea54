package activities

import (
	"context"

	"grapnel/internal/contract"
)

// DeliverFirst is Deliver as a local activity: it makes inline attempts. It never fails: the
// activity Deliver sends the deliveries that it did not.
func (a *Activities) DeliverFirst(ctx context.Context, in contract.SliceInput) (contract.InlineResult, error) {
	report, reason, err := a.engine.DeliverInline(ctx, a.window(ctx), in)
	if reason != "" {
		return contract.InlineResult{Reason: reason}, nil
	}
	result, err := a.result(ctx, in, &report, err)
	if err != nil {
		return contract.InlineResult{Reason: messageOf(err)}, nil
	}
	return contract.InlineResult{DeliverResult: result, Done: true}, nil
}
