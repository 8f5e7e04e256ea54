package hook

import "time"

// DeletionPhase is what a deletion of a tenant is doing (K8).
type DeletionPhase string

// The phases of a deletion, in their order. After the last one the tenant is gone.
const (
	DeletionCanceling DeletionPhase = "canceling" // webhooks are deleted, and what is pending is canceled
	DeletionErasing   DeletionPhase = "erasing"   // events are erased, with their deliveries and attempts
	DeletionFinishing DeletionPhase = "finishing" // keys, event types, topics and the rest are deleted
)

// DeletionPhases lists the phases of a deletion.
func DeletionPhases() []DeletionPhase {
	return []DeletionPhase{DeletionCanceling, DeletionErasing, DeletionFinishing}
}

// Deletion is the progress of the deletion of a tenant (K8).
type Deletion struct {
	RequestedAt time.Time
	// UpdatedAt is when the last step was made.
	UpdatedAt time.Time
	Phase     DeletionPhase
	// Webhooks, Events and Deliveries count what is deleted so far. Canceled are those of the deliveries that were
	// pending at the request.
	Webhooks, Events, Deliveries, Canceled int64
}

// DeletionStep is the outcome of one step of a deletion.
type DeletionStep struct {
	Deletion
	// Gone says that the tenant is gone.
	Gone bool
	// Waiting says that the step could do nothing, because it waits for others: cancellations, or transactions that were
	// storing events.
	Waiting bool
}
