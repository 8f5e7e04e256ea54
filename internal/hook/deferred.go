package hook

import "time"

// TextUnavailable is the error of a delivery that was deferred for too long (spec 9).
const TextUnavailable = "Endpoint unavailable"

// DeferredFor is how long after its event a deferred delivery fails, if its endpoint is unavailable (spec 9).
const DeferredFor = 24 * time.Hour

// DeferredPage is a page of one webhook's deferred deliveries.
type DeferredPage struct {
	// Jobs are the deliveries that have been due longest, in that order. Some may not be due yet.
	Jobs []Job
	// Waiting is how many deferred deliveries the webhook has, counted up to a bound of the store.
	Waiting int
	// TrippedAt is when the endpoint became unavailable; nil if it is available.
	TrippedAt *time.Time
	// PausedAt is when the client paused the webhook; nil if it is not paused.
	PausedAt *time.Time
	// SuspendedAt is when the webhook's tenant was suspended; nil if it is active.
	SuspendedAt *time.Time
	// Changes is how often the drain had been woken when the page was read.
	Changes int64
}

// Held reports whether nothing may be sent to the webhook: it is paused, or its tenant is suspended.
func (p *DeferredPage) Held() bool { return p.PausedAt != nil || p.SuspendedAt != nil }

// Nap is the record that a drain stores before it sleeps.
type Nap struct {
	// In is when it will read the next page.
	In time.Duration
	// Changes is that of the DeferredPage. The store refuses the nap if the drain was woken since.
	Changes int64
	// Until is set if the drain sleeps because nothing is due before. A delivery that is deferred later and due earlier
	// then wakes it. The zero time stands for another reason to sleep, which deferred deliveries do not change.
	Until time.Time
	// ProbeIn is when the drain sends the next probe to an unavailable endpoint; nil if it sends none.
	ProbeIn *time.Duration
}

// Answered reports whether the endpoint has answered, with any status. An answer closes an open breaker.
func (a *Attempt) Answered() bool { return a.StatusCode != 0 }

// Unavailable reports whether the failure counts for the circuit breaker: it shows that the endpoint cannot answer. An
// answer, whatever its status, shows that it can.
func (a *Attempt) Unavailable() bool {
	switch a.Class {
	case ClassTimeout, ClassRefused, ClassReset, ClassUnreachable, ClassDNS, ClassTLS:
		return a.StatusCode == 0
	case ClassNone, ClassStatus, ClassRedirect, ClassBlocked, ClassTooLarge, ClassProtocol, ClassOther:
	}
	return false
}
