package hook

import "time"

// OutboxClaim selects the events of the outbox that a sweeper claims.
type OutboxClaim struct {
	// Age is the time since their accept, at least.
	Age time.Duration
	// For is how long no other process can claim them.
	For time.Duration
	// After is the event after which the page begins, in the order of ids.
	After EventID
	// Process is the process that claims: it may claim the events that it owns.
	Process ProcessID
	// Except are events to leave out.
	Except []EventID
	// Limit bounds the events that are looked at, whether they can be claimed or not.
	Limit int
}

// OutboxPage is the page of the outbox that a sweeper claimed.
type OutboxPage struct {
	// Last is the last event that was looked at. More says that there may be events after it.
	Last EventID
	More bool
	// Events are the claimed events, in the order of ids.
	Events []EventID
	// Unnamed are the claimed events that have no workflow yet. A workflow must be named in the outbox before it is
	// started.
	Unnamed []Start
	// Named are the claimed events that have a workflow, of their own or shared. All events that share it are listed,
	// also those that are not claimed or no longer in the outbox: every process must start the same workflow.
	Named [][]Start
}

// LeaseHolder identifies the process that holds a lease.
type LeaseHolder [16]byte

// MaxNamed bounds the events of a burst that its workflow's search attributes and summary name.
const MaxNamed = 50

// NamedOf returns the events whose webhooks the workflows show. Each list has the events of one workflow.
func NamedOf(workflows [][]Start) []EventID {
	var events []EventID
	for _, list := range workflows {
		for i := range list[:min(len(list), MaxNamed)] {
			events = append(events, list[i].EventID)
		}
	}
	return events
}

// JoinStarts merges the events of each workflow into one start, with their targets.
func JoinStarts(workflows [][]Start, targets map[EventID][]Target) []Start {
	starts := make([]Start, 0, len(workflows))
	for _, list := range workflows {
		for i := range list {
			list[i].Targets = targets[list[i].EventID]
		}
		if name := list[0].WorkflowID; name != "" {
			starts = append(starts, Share(name, list))
		} else {
			starts = append(starts, list[0])
		}
	}
	return starts
}
