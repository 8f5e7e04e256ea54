package hook

import "time"

// WaitReason says why a delivery that is due is not sent.
type WaitReason string

// The reasons to wait (spec 9). If several hold, the first of them counts.
const (
	WaitSuspended   WaitReason = "tenant_suspended"     // the tenant is suspended (K8)
	WaitPaused      WaitReason = "paused"               // the client has paused the webhook
	WaitUnavailable WaitReason = "endpoint_unavailable" // the breaker is open
	WaitRate        WaitReason = "rate_limited"         // the webhook's rate_limit
	WaitInFlight    WaitReason = "in_flight_limit"      // the bound on requests in flight
)

// Wait describes why a due delivery is not sent.
type Wait struct {
	Reason WaitReason
	// Since is when the delivery was due and the reason held.
	Since time.Time
	// ProbeAt is when the next probe is sent to an unavailable endpoint; nil if that is not known, or for another
	// reason.
	ProbeAt *time.Time
}

// WaitReason returns why the webhook's deferred deliveries are not sent.
func (w *Webhook) WaitReason() WaitReason {
	switch {
	case w.SuspendedAt != nil:
		return WaitSuspended
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

// WaitOf returns why a delivery of the webhook is not sent; nil if it is final, not due yet, or being sent. probeAt is
// when the webhook's drain sends the next probe; nil if that is not known.
func WaitOf(d *Delivery, w *Webhook, probeAt *time.Time, now time.Time) *Wait {
	if w == nil || d.Test || !d.Outstanding() || d.State == StateSending || d.NextAttemptAt.After(now) || !d.Deferred && !w.Deferring() {
		return nil
	}
	wait := &Wait{Reason: w.WaitReason(), Since: *d.NextAttemptAt}
	switch wait.Reason {
	case WaitSuspended:
		wait.Since = later(wait.Since, *w.SuspendedAt)
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
