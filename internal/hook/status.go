package hook

// StatusDisabled is what a webhook to which nothing is sent shows instead of its health.
const StatusDisabled = "disabled"

// Reasons of a webhook's status.
const (
	ReasonByClient    = "deactivated by the client"
	ReasonGone        = "gone"
	ReasonFailedDays  = "failing for 5 days"
	ReasonFailedFinal = "a delivery failed for good"
	ReasonPaused      = "paused by the client: deliveries wait"
	ReasonUnavailable = "endpoint unavailable: deliveries wait for it"
)

// Status is what the API shows: the health, or disabled, for one that is paused too. One
// whose endpoint is unavailable is failing at best, whatever the last answer was. What says
// more is its reason: the statuses are what clients know.
func (w *Webhook) Status() string {
	switch {
	case !w.Active, w.PausedAt != nil:
		return StatusDisabled
	case w.TrippedAt != nil && w.Health == HealthHealthy:
		return string(HealthFailing)
	default:
		return string(w.Health)
	}
}

// StatusReason explains a status other than healthy; empty when there is nothing to say.
func (w *Webhook) StatusReason() string {
	switch {
	case !w.Active:
		return w.DisabledReason
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
