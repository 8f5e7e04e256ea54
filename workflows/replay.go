package workflows

import (
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/contract"
)

// Replay sends events of the past to a webhook, or to several (A6): its activity makes deliveries
// at the replay's rate, and the webhooks' drains send them. It ends when all of them have ended, or when the
// replay was canceled. To pause or cancel a replay, or to change its rate, the client changes
// the replay in the store.
func (w *Workflows) Replay(ctx workflow.Context, in contract.ReplayInput) (contract.ReplayResult, error) {
	var a *activities.Activities
	var r contract.ReplayResult
	err := workflow.ExecuteActivity(drainOptions(ctx), a.Replay, in).Get(ctx, &r)
	return r, err
}
