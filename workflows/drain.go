package workflows

import (
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/hook"
)

// DrainInput names the webhook whose parked deliveries are to be sent.
type DrainInput struct {
	WebhookID hook.WebhookID `json:"webhook_id"`
}

// Drain sends a webhook's parked deliveries: those that were over one of its limits, or
// found its endpoint unavailable (spec 9). There is one for a webhook, however many wait,
// and none for a webhook of which nothing does. It ends when nothing is parked any more,
// failed when a delivery failed for good.
func (w *Workflows) Drain(ctx workflow.Context, in DrainInput) (activities.DrainResult, error) {
	var a *activities.Activities
	var r activities.DrainResult
	if err := workflow.ExecuteActivity(drainOptions(ctx), a.Drain, activities.DrainInput{WebhookID: in.WebhookID}).Get(ctx, &r); err != nil {
		return r, err
	}
	if r.Failed == 0 {
		return r, nil
	}
	return r, failedForGood(r.Failed, r.Succeeded+r.Failed+r.Canceled, 0, r.First, r)
}
