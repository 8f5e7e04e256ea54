// Package measure has the plain values that packages hand to internal/metrics: values of labels, and counts. It is a
// leaf, so that a package can be measured without linking the metrics. Its invariant: each label has one closed list of
// values, and both the package that counts and the one that shows the metric use that list.
package measure

import "time"

// StartedBy is the cause of a workflow's start. It is the value of the label "by".
type StartedBy string

// The values of StartedBy.
const (
	ByStarter    StartedBy = "starter"    // for an event, when it was accepted
	BySweeper    StartedBy = "sweeper"    // for an event that was left in the outbox
	ByReconciler StartedBy = "reconciler" // again, because the workflow was lost
	ForDrain     StartedBy = "drain"      // the drain of a webhook
	ForReplay    StartedBy = "replay"     // a replay
	ForDeletion  StartedBy = "deletion"   // the deletion of a tenant
	ByHand       StartedBy = "hand"       // for a person who sends a test or retries a delivery
)

// StartedByValues lists every StartedBy.
func StartedByValues() []StartedBy {
	return []StartedBy{ByStarter, BySweeper, ByReconciler, ForDrain, ForReplay, ForDeletion, ByHand}
}

// Group names a group commit: calls that share one statement. It is the value of the label "group".
type Group string

// The values of Group.
const (
	GroupPublish    Group = "publish"     // events are stored
	GroupRecord     Group = "record"      // attempts are recorded
	GroupAPIKeys    Group = "api_keys"    // API keys are looked up
	GroupEventTypes Group = "event_types" // event types are looked up
)

// Groups lists every Group.
func Groups() []Group { return []Group{GroupPublish, GroupRecord, GroupAPIKeys, GroupEventTypes} }

// Published counts the results of one call that publishes events.
type Published struct {
	// Accepted events were stored. Duplicates had been stored before. Refused events have the idempotency key of an
	// event with another content. Failed events could not be stored.
	Accepted, Duplicates, Refused, Failed int
	// Operational counts the events that Grapnel itself published.
	Operational int
	// Deliveries counts the deliveries of the accepted and the operational events.
	Deliveries int
	// Took is the time until everything was durable.
	Took time.Duration
}

// BacklogBounds returns the upper bounds of the ranges in which BacklogStats counts deliveries by how long they have
// been due. The first range holds the deliveries that are not due yet. One more range holds the deliveries that have
// been due for longer than the last bound.
func BacklogBounds() []time.Duration {
	return []time.Duration{0, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
}

// BacklogStats counts outstanding work at one moment. The store counts up to a bound, beginning with the work that has
// been due longest, and leaves out the rest.
type BacklogStats struct {
	// Due counts the deliveries that their workflows send, tests too. Deferred counts the deferred deliveries. Both
	// have one count for each range of BacklogBounds.
	Due, Deferred []int
	// OldestDue is how long the oldest of Due has been due; 0 if none is.
	OldestDue time.Duration
	// Unstarted counts the accepted events whose workflow has not been started. OldestUnstarted is the age of the
	// oldest.
	Unstarted       int
	OldestUnstarted time.Duration
	// ReplaysRunning and ReplaysPaused count the replays under way.
	ReplaysRunning, ReplaysPaused int
	// Breakers counts the webhooks whose circuit breaker is open.
	Breakers int
	// KeptDays counts the days that are past the retention and are not dropped, because too many of their deliveries
	// are outstanding.
	KeptDays int
}
