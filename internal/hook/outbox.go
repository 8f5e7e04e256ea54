package hook

import "time"

// OutboxClaim is which of the accepted events without a workflow a sweeper wants.
type OutboxClaim struct {
	// Age is how long ago they were accepted at least.
	Age time.Duration
	// For is how long nobody else gets them.
	For time.Duration
	// After is the event after which to look on, by id.
	After EventID
	// Except are events to be left out.
	Except []EventID
	// Limit is how many are looked at, to be had or not.
	Limit int
}

// OutboxPage is what a sweeper got.
type OutboxPage struct {
	// Last is the last one looked at, and More that there may be others after it.
	Last EventID
	More bool
	// Events are those claimed, by id.
	Events []EventID
	// Unnamed are those of them that have no workflow yet: one must be named in the
	// outbox before it is started.
	Unnamed []Start
	// Named have one, of their own or shared. All who share it are there, claimed or not,
	// and still in the outbox or not: a workflow is the same whoever starts it.
	Named [][]Start
}

// LeaseHolder names who holds a lease.
type LeaseHolder [16]byte

// MaxNamed bounds the events by which a burst's workflow is found, and of which it shows
// the webhooks.
const MaxNamed = 50

// NamedOf are the events of which workflows show the webhooks, by the events of each.
func NamedOf(workflows [][]Start) []EventID {
	var events []EventID
	for _, list := range workflows {
		for i := range list[:min(len(list), MaxNamed)] {
			events = append(events, list[i].EventID)
		}
	}
	return events
}

// JoinStarts makes one start of the events of each workflow, with their targets.
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
