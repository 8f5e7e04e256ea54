package hook

import "time"

// Overdue is an event with a delivery that should have been sent a while ago, and its workflow.
type Overdue struct {
	EventID EventID
	// WorkflowID is the workflow that the event shares; empty if it has its own.
	WorkflowID string
}

// OverdueMark is a position in the list of overdue deliveries, which begins with the longest overdue. The zero mark is
// before all of them.
type OverdueMark struct {
	DueAt      time.Time
	DeliveryID DeliveryID
}
