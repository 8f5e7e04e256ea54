package hook

import "time"

// WaitReason says why a delivery that is due is not sent.
type WaitReason string

// The reasons to wait, the first that holds (spec 9).
const (
	WaitPaused      WaitReason = "paused"               // the client has paused the webhook
	WaitUnavailable WaitReason = "endpoint_unavailable" // the breaker is open
	WaitRate        WaitReason = "rate_limited"         // the webhook's rate_limit
	WaitInFlight    WaitReason = "in_flight_limit"      // the bound on requests in flight
)

// Wait is what a delivery that is due waits for.
type Wait struct {
	Reason WaitReason
	// Since is when it was due and the reason held.
	Since time.Time
	// ProbeAt is when the endpoint is asked next; nil where that is not known, or is not
	// what is waited for.
	ProbeAt *time.Time
}

// WaitReason is why what is parked of the webhook's deliveries waits.
func (w *Webhook) WaitReason() WaitReason {
	switch {
	case w.PausedAt != nil:
		return WaitPaused
	case w.TrippedAt != nil:
		return WaitUnavailable
	case w.RateLimit > 0:
		return WaitRate
	default:
		return WaitInFlight
	}
}

// WaitOf is what a delivery of the webhook waits for; nil if it does not wait, because it
// has ended, is not due yet or is being sent. probeAt is when the webhook's drain asks the
// endpoint next, nil if it has not said.
func WaitOf(d *Delivery, w *Webhook, probeAt *time.Time, now time.Time) *Wait {
	if w == nil || d.Test || !d.Outstanding() || d.State == StateSending || d.NextAttemptAt.After(now) || !d.Deferred && !w.Deferring() {
		return nil
	}
	wait := &Wait{Reason: w.WaitReason(), Since: *d.NextAttemptAt}
	switch wait.Reason {
	case WaitPaused:
		wait.Since = later(wait.Since, *w.PausedAt)
	case WaitUnavailable:
		wait.Since = later(wait.Since, *w.TrippedAt)
		if probeAt != nil {
			at := later(*probeAt, now)
			wait.ProbeAt = &at
		}
	case WaitRate, WaitInFlight:
	}
	return wait
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
