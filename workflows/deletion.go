package workflows

import (
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/contract"
)

// DeleteTenant deletes a tenant with all that it has (K8): its activity makes the steps, whose progress is in the store. It
// ends when the tenant is gone.
func (w *Workflows) DeleteTenant(ctx workflow.Context, in contract.DeletionInput) (contract.DeletionResult, error) {
	var a *activities.Activities
	var r contract.DeletionResult
	err := workflow.ExecuteActivity(drainOptions(ctx), a.DeleteTenant, in).Get(ctx, &r)
	return r, err
}
