package hook

import "time"

// TextUnavailable ends a delivery that has waited for its endpoint for too long
// (spec 9).
const TextUnavailable = "Endpoint unavailable"

// DeferredFor is how long a delivery waits for an endpoint that is unavailable, from its
// event on; then it fails (spec 9).
const DeferredFor = 24 * time.Hour

// DeferredPage is what is parked of one webhook's deliveries.
type DeferredPage struct {
	// Jobs are the first of them, those that have been due longest first; some may not
	// be due yet.
	Jobs []Job
	// Waiting is how many there are, counted up to a bound of the store's.
	Waiting int
	// TrippedAt is since when the endpoint has been unavailable; nil if it is not.
	TrippedAt *time.Time
	// PausedAt is since when the client wants them held; nil if it does not.
	PausedAt *time.Time
	// Changes is how often the drain was woken until this was read.
	Changes int64
}

// Nap is what a drain notes before it sleeps.
type Nap struct {
	// In is when it will look again.
	In time.Duration
	// Changes is DeferredPage's: the note of a drain that was woken since is refused.
	Changes int64
	// Until says that the drain sleeps because nothing is due before: what is parked from
	// then on, and due earlier, wakes it. The zero time says that it sleeps for another
	// reason, which nothing that is parked changes.
	Until time.Time
	// ProbeIn is when it asks an endpoint that is unavailable next; nil where it does not.
	ProbeIn *time.Duration
}

// Answered reports whether the endpoint has answered, with whatever status: the proof that
// closes an open breaker.
func (a *Attempt) Answered() bool { return a.StatusCode != 0 }

// Unavailable tells a failure that says that nobody is there to answer, by which the
// circuit breaker counts. An answer, whatever its status, says that somebody is.
func (a *Attempt) Unavailable() bool {
	switch a.Class {
	case ClassTimeout, ClassRefused, ClassReset, ClassUnreachable, ClassDNS, ClassTLS:
		return a.StatusCode == 0
	case ClassNone, ClassStatus, ClassRedirect, ClassBlocked, ClassTooLarge, ClassProtocol, ClassOther:
	}
	return false
}
