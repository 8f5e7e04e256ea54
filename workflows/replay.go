package workflows

import (
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/hook"
)

// ReplayInput names the replay.
type ReplayInput struct {
	ReplayID hook.ReplayID `json:"replay_id"`
}

// Replay sends events of the past to a webhook: its activity makes deliveries, at the
// replay's rate, and the webhook's drain sends them. It ends when all of them have ended,
// or the replay was canceled. Pausing, another rate and canceling are changes of the
// replay in the store.
func (w *Workflows) Replay(ctx workflow.Context, in ReplayInput) (activities.ReplayResult, error) {
	var a *activities.Activities
	var r activities.ReplayResult
	err := workflow.ExecuteActivity(drainOptions(ctx), a.Replay, activities.ReplayInput{ReplayID: in.ReplayID}).Get(ctx, &r)
	return r, err
}
