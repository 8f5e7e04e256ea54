package workflows

import (
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/hook"
)

// SendNowInput names the delivery to send.
type SendNowInput struct {
	DeliveryID hook.DeliveryID `json:"delivery_id"`
}

// SendNow sends one delivery by hand, once: a test, or a retry outside the
// schedule. A receiver that fails is a result, not a failure.
func (w *Workflows) SendNow(ctx workflow.Context, in SendNowInput) (activities.Outcome, error) {
	var a *activities.Activities
	var outcome activities.Outcome
	err := workflow.ExecuteActivity(sendNowOptions(ctx), a.SendNow, activities.SendNowInput{DeliveryID: in.DeliveryID}).Get(ctx, &outcome)
	return outcome, err
}
