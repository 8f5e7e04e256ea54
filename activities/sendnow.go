package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
)

// SendNow makes one attempt of one delivery in any state, and leaves the rest of its schedule
// as it is (S11, S13). Temporal never repeats it.
func (a *Activities) SendNow(ctx context.Context, in contract.SendNowInput) (contract.Outcome, error) {
	sent, err := a.engine.SendNow(ctx, a.window(ctx), in.DeliveryID)
	switch {
	case delivery.LimitReason(err) != "":
		return contract.Outcome{}, limited(err)
	case err != nil:
		return contract.Outcome{}, a.ours(ctx, "send", err)
	}
	return contract.OutcomeOf(&sent), nil
}

// limited turns a limit that has stopped a request by hand into an application error. It is no
// failure, neither of Grapnel nor of the receiver.
func limited(err error) error {
	l := contract.Limited{Message: err.Error(), RetryAfter: delivery.ByHandRetry, Reason: delivery.LimitReason(err)}
	var e *hook.Error
	if errors.As(err, &e) {
		l.Message, l.RetryAfter = e.Message, e.RetryAfter
	}
	return temporal.NewApplicationErrorWithOptions(l.Message, contract.ErrorLimited, temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{l},
	})
}
