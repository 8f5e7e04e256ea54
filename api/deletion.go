package api

import (
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// TenantDeletion is the progress of the deletion of an account.
type TenantDeletion struct {
	RequestedAt time.Time `json:"requested_at" doc:"When it was requested." example:"2026-01-15T12:00:00Z"`
	UpdatedAt   time.Time `json:"updated_at" doc:"When the last step was made." example:"2026-01-15T12:00:05Z"`
	Phase       string    `json:"phase" enum:"canceling,erasing,finishing" doc:"canceling: webhooks are deleted, and what is pending is canceled. erasing: events are erased with their payloads, and deliveries with their logs. finishing: keys, event types, topics and the rest are deleted." example:"erasing"`
	Webhooks    int64     `json:"webhooks" doc:"How many webhooks are deleted so far." example:"3"`
	Canceled    int64     `json:"canceled" doc:"How many of the erased deliveries were pending at the request." example:"12"`
	Erased      int64     `json:"erased" doc:"How many events are erased so far, with their deliveries and logs." example:"25000"`
	Deliveries  int64     `json:"deliveries" doc:"How many deliveries are erased so far." example:"40000"`
	WorkflowID  string    `json:"workflow_id" doc:"The Temporal workflow that deletes it." example:"ten_01kab1s6rzfkqbzry2kztmfpx1-delete"`
}

func viewDeletion(t *hook.Tenant) *TenantDeletion {
	d := t.Deletion
	if d == nil {
		return nil
	}
	return &TenantDeletion{
		RequestedAt: seconds(d.RequestedAt), UpdatedAt: seconds(d.UpdatedAt), Phase: string(d.Phase),
		Webhooks: d.Webhooks, Canceled: d.Canceled, Erased: d.Events, Deliveries: d.Deliveries, WorkflowID: contract.DeletionID(t.ID),
	}
}
