package contract

import "grapnel/internal/hook"

// DeletionInput is the input of the workflow and the activity DeleteTenant.
type DeletionInput struct {
	TenantID hook.TenantID `json:"tenant_id"`
}

// DeletionResult counts what was deleted. It is empty if an earlier run, whose answer was lost, has deleted the tenant.
type DeletionResult struct {
	Webhooks   int64 `json:"webhooks"`
	Events     int64 `json:"events"`
	Deliveries int64 `json:"deliveries"`
	// Canceled are the deliveries that were pending when the deletion was requested.
	Canceled int64 `json:"canceled"`
}
