package hook

import "time"

// Logged is the webhook of a delivery log, which outlives it.
type Logged struct {
	ID      WebhookID
	Profile Profile
	// Cache is that of a Momento webhook.
	Cache string
	// DeletedAt is when the webhook was deleted; nil where it is there.
	DeletedAt *time.Time
}
