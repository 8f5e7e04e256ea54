package hook

import "time"

// Overdue is an event with a delivery that should have been sent a while ago, and
// the workflow that is to see to it.
type Overdue struct {
	EventID EventID
	// WorkflowID is that of the workflow that the event shares; empty where it has
	// its own.
	WorkflowID string
}

// OverdueMark is a place among the overdue deliveries, the longest overdue first;
// the zero mark is before all of them.
type OverdueMark struct {
	DueAt      time.Time
	DeliveryID DeliveryID
}
