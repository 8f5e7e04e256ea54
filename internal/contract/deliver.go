package contract

import "grapnel/internal/hook"

// DeliverInput is the input of the workflow Deliver: the events to deliver, usually one.
type DeliverInput struct {
	EventIDs []hook.EventID `json:"event_ids"`
	// Deliveries is the number of deliveries; it decides how they are split.
	Deliveries int `json:"deliveries"`
	// To names the first webhooks and their hosts, for a person.
	To string `json:"to,omitempty"`
	// Inline says that a local activity makes the first attempts.
	Inline bool `json:"first,omitempty"`
	// Owner is the process that may still be making the first attempts; none if the workflow makes them.
	Owner hook.ProcessID `json:"owner,omitzero"`
	// Done is the result of events that were delivered before their workflow began: it has nothing left to do.
	Done *DeliverResult `json:"done,omitempty"`
}

// DeliverSlicesInput is the input of the workflow DeliverSlices: some of the slices of a large
// fan-out, From up to but not including To, of Of.
type DeliverSlicesInput struct {
	EventIDs   []hook.EventID `json:"event_ids"`
	Deliveries int            `json:"deliveries"`
	From       int            `json:"from"`
	To         int            `json:"to"`
	Of         int            `json:"of"`
}

// SliceInput is the input of the activities Deliver and DeliverFirst: the deliveries of the
// events, or one of several slices of them.
type SliceInput struct {
	EventIDs []hook.EventID `json:"event_ids"`
	// Deliveries is the number of deliveries in all slices.
	Deliveries int `json:"deliveries"`
	// Slice counts from 0 to Of-1; Of is 1 where one activity has all deliveries.
	Slice int `json:"slice"`
	Of    int `json:"of"`
	// Owner is the process that may still be making the first attempts; none if this activity makes them.
	Owner hook.ProcessID `json:"owner,omitzero"`
}

// Most returns the largest number of deliveries that the slice can have; at least 1.
func (in *SliceInput) Most() int {
	of := max(in.Of, 1)
	return max((in.Deliveries+of-1)/of, 1)
}

// DeliverResult is the result of an event's deliveries, for a person to read. The full record
// is in the store.
type DeliverResult struct {
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Canceled  int `json:"canceled"`
	// Deferred counts the deliveries that wait for their webhook; its drain sends them.
	Deferred int `json:"waiting,omitempty"`
	// Outcomes are the first deliveries, failed ones before the others.
	Outcomes []Outcome `json:"outcomes,omitempty"`
}

// InlineResult is the result of the inline attempts.
type InlineResult struct {
	DeliverResult
	// Done says that nothing is outstanding. If it is false, Deliver takes over, whether or
	// not anything was sent.
	Done bool `json:"done"`
	// Reason says why Done is false, for a person.
	Reason string `json:"reason,omitempty"`
}
