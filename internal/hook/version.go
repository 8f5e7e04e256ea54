package hook

import "time"

// TrustFor is how long a sender may use a webhook as it was read, counted from before the read. A request that changes
// what deliveries depend on is answered only when that time has passed since its commit. So after the answer no
// delivery begins with the old values.
const TrustFor = 100 * time.Millisecond

// Wanted is an at-most-once delivery that a run is about to send. Version is that of the webhook as the run has loaded
// it.
type Wanted struct {
	ID      DeliveryID
	Version int64
}

// Cancellation is the task to cancel the outstanding deliveries of a webhook that was disabled or deleted. It concerns
// the deliveries that were accepted before Generation.
type Cancellation struct {
	WebhookID  WebhookID
	Generation int
	// Reason becomes the deliveries' error.
	Reason    string
	CreatedAt time.Time
}
