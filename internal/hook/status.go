package hook

// StatusDisabled is shown instead of the health of a webhook to which nothing is sent.
const StatusDisabled = "disabled"

// Reasons of a webhook's status.
const (
	ReasonByClient    = "deactivated by the client"
	ReasonGone        = "gone"
	ReasonFailedDays  = "failing for 5 days"
	ReasonFailedFinal = "a delivery failed for good"
	ReasonPaused      = "paused by the client: deliveries wait"
	ReasonSuspended   = "the tenant is suspended: deliveries wait"
	ReasonUnavailable = "endpoint unavailable: deliveries wait for it"
)

// Status returns what the API shows: the health, or disabled for a webhook that is disabled or held. A webhook whose
// endpoint is unavailable is failing at best, whatever the last answer was. Clients know only these statuses;
// StatusReason says more.
func (w *Webhook) Status() string {
	switch {
	case !w.Active, w.Held():
		return StatusDisabled
	case w.TrippedAt != nil && w.Health == HealthHealthy:
		return string(HealthFailing)
	default:
		return string(w.Health)
	}
}

// StatusReason explains a status other than healthy; empty if there is no further explanation.
func (w *Webhook) StatusReason() string {
	switch {
	case !w.Active:
		return w.DisabledReason
	case w.SuspendedAt != nil:
		return ReasonSuspended
	case w.PausedAt != nil:
		return ReasonPaused
	case w.TrippedAt != nil:
		return ReasonUnavailable
	case w.Health == HealthFailed:
		return ReasonFailedFinal
	default:
		return ""
	}
}
