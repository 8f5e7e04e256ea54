package activities

import (
	"context"

	"grapnel/internal/hook"
)

// SendNowInput names a delivery to be sent by hand.
type SendNowInput struct {
	DeliveryID hook.DeliveryID `json:"delivery_id"`
}

// SendNow makes one attempt of one delivery, whatever its state, and leaves the
// rest of its schedule alone (S11, S13). It is never repeated by Temporal.
func (a *Activities) SendNow(ctx context.Context, in SendNowInput) (Outcome, error) {
	job, err := a.lookup.Job(ctx, in.DeliveryID)
	if err != nil {
		return Outcome{}, a.ours(ctx, "load delivery", err)
	}
	if job.Err != nil {
		return Outcome{}, a.ours(ctx, "load delivery", job.Err)
	}
	if reason := job.Canceled(); reason != "" {
		return Outcome{}, a.ours(ctx, "send", &hook.Error{Kind: hook.KindPrecondition, Message: reason})
	}
	// The first sending of a test is its only scheduled one.
	sent := a.attempt(ctx, job, !job.Delivery.Test || job.Delivery.Attempts > 0)
	if sent.err != nil {
		return Outcome{}, a.ours(ctx, "send", sent.err)
	}
	deliveries, err := a.recordUntil(ctx, []hook.Record{sent.record})
	if err != nil {
		return Outcome{}, a.ours(ctx, "record attempt", err)
	}
	if len(deliveries) == 0 {
		return Outcome{}, a.ours(ctx, "record attempt", hook.NotFound("delivery"))
	}
	return outcomeOf(&deliveries[0]), nil
}
