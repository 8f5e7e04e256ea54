package hook

import "time"

// BacklogBounds are the bounds of the ranges by which what waits is counted: the first
// range is what is not due yet, the last what has been due for longer than the last of
// them.
func BacklogBounds() []time.Duration {
	return []time.Duration{0, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
}

// BacklogStats is what waits in the store at one moment. It counts up to a bound of the
// store's, what has waited longest first; what is over is left out.
type BacklogStats struct {
	// Due are the deliveries that their workflows have to see to, tests too, and Parked those that
	// wait for their webhooks, by how long their attempt has been due: one count for each
	// range of BacklogBounds.
	Due, Deferred []int
	// OldestDue is how long the first of Due has been due; 0 if none is.
	OldestDue time.Duration
	// Unstarted are accepted events whose workflow has not been started, and
	// OldestUnstarted is how long the first has waited for that.
	Unstarted       int
	OldestUnstarted time.Duration
	// Breakers are the webhooks whose circuit breaker is open.
	Breakers int
	// KeptDays are the days past the retention that stay whole, because too much of them
	// is outstanding.
	KeptDays int
}
