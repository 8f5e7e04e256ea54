package hook

import "time"

// Logged is the webhook of a delivery log. The log outlives the webhook.
type Logged struct {
	ID      WebhookID
	Profile Profile
	// Cache is the cache of a Momento webhook; empty for other webhooks.
	Cache string
	// DeletedAt is when the webhook was deleted; nil if it exists.
	DeletedAt *time.Time
}
