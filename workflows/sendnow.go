package workflows

import (
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/contract"
)

// SendNow makes one attempt of one delivery by hand: a test, or a retry outside the schedule.
// If the receiver fails, the workflow completes with that outcome and does not fail.
func (w *Workflows) SendNow(ctx workflow.Context, in contract.SendNowInput) (contract.Outcome, error) {
	var a *activities.Activities
	var outcome contract.Outcome
	err := workflow.ExecuteActivity(sendNowOptions(ctx), a.SendNow, in).Get(ctx, &outcome)
	return outcome, err
}
