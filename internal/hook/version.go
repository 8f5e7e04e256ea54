package hook

import "time"

// TrustFor is how long a sender may go by a webhook as it was read, counted from before
// the reading. A change that requests depend on is answered only when as much has passed
// since its commit: after the answer no request begins by what was before.
const TrustFor = 100 * time.Millisecond

// Wanted is an at-most-once delivery that a run wants to send to the webhook as it was
// loaded, of that version.
type Wanted struct {
	ID      DeliveryID
	Version int64
}

// Cancellation is the order to cancel what is outstanding for a webhook that has ended:
// what was accepted before Generation.
type Cancellation struct {
	WebhookID  WebhookID
	Generation int
	// Reason is the deliveries' error.
	Reason    string
	CreatedAt time.Time
}
