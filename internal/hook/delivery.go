package hook

import (
	"crypto/ed25519"
	"time"
)

// DeliveryState is the state of a delivery. A CHECK constraint in the database has the same words.
type DeliveryState string

// The states of a delivery (S12, M7). A delivery is outstanding as long as it
// has a next attempt, whatever its state.
const (
	StatePending  DeliveryState = "pending"   // no attempt yet
	StateSending  DeliveryState = "sending"   // at-most-once: an attempt was begun
	StateSuccess  DeliveryState = "success"   // a 2xx came back
	StateFailed   DeliveryState = "failed"    // the last attempt failed
	StateCanceled DeliveryState = "canceled"  // the webhook was deleted or disabled
	StateTimedOut DeliveryState = "timed_out" // at-most-once: no answer in time
	StateDropped  DeliveryState = "dropped"   // at-most-once: a crash hid the outcome
)

// DeliveryStates lists every state, for schemas and filters.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{StatePending, StateSending, StateSuccess, StateFailed, StateCanceled, StateTimedOut, StateDropped}
}

// Texts of deliveries that end without an attempt (S12).
const (
	TextWebhookDisabled = "Webhook disabled"
	TextWebhookDeleted  = "Webhook deleted"
	// TextTenantDeleted is the reason of replays that end because their tenant is deleted (K8).
	TextTenantDeleted = "Tenant deleted"
	// TextSecretUnavailable ends a delivery whose webhook's secrets no key has opened for
	// DeferredFor.
	TextSecretUnavailable = "Signing secret unavailable"
	// TextDropped ends an at-most-once delivery whose sender crashed before it recorded the outcome (M7).
	TextDropped = "Outcome unknown"
	// TextTestLost ends a test whose sender is gone (S11).
	TextTestLost = "Not sent"
)

// Delivery is one event for one webhook.
type Delivery struct {
	ID        DeliveryID
	EventID   EventID
	WebhookID WebhookID
	TenantID  TenantID
	EventType string
	// Test marks a test delivery: one attempt, no retry (S11).
	Test bool
	// ReplayID is the replay that made the delivery; zero if none did.
	ReplayID ReplayID
	State    DeliveryState
	// Deferred says that the delivery waits for its webhook, which is paused, over a limit or unavailable.
	Deferred bool
	// Waits says why a due delivery is not sent; nil if it does not wait, or was not read to be shown.
	Waits *Wait
	// Generation is that of the webhook when the delivery was accepted; nil if an older version accepted it.
	Generation *int
	// Attempts counts all requests, those sent by hand too.
	Attempts int
	// Scheduled counts the requests that the schedule sent, at most the five of spec 1.
	Scheduled int
	// StatusCode is the last HTTP status of any attempt; 0 if no attempt got one.
	StatusCode int
	// Error is that of the last attempt; empty if there was none.
	Error string
	// NextAttemptAt is when the next attempt is due; nil when none will be made.
	NextAttemptAt *time.Time
	DeliveredAt   *time.Time
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Outstanding reports whether an attempt is still to come.
func (d *Delivery) Outstanding() bool { return d.NextAttemptAt != nil }

// MaxInline bounds the data of an event that is loaded with its jobs, in bytes. Larger data is loaded when its request
// is about to be made: a backlog of it must not be in memory.
const MaxInline = 2 << 10

// Job is a delivery with everything needed to send it, except a large payload.
type Job struct {
	Delivery Delivery
	Event    Event
	// PayloadSize is the size of the event's data in bytes, if the data was left out because it is over MaxInline; 0 if
	// Event.Data has it.
	PayloadSize int
	// Webhook is the webhook as it is now (S15); nil if it was deleted.
	Webhook *Webhook
	// SigningKeys are the keys of the webhook's tenant, the current one first, if the webhook has the scheme v1a.
	SigningKeys []ed25519.PrivateKey
	// Err says that the webhook's secrets could not be read. The job must not be sent; other jobs are not affected.
	Err error
	// TraceParent is a header of the request; empty if the webhook does not want it.
	TraceParent string
	// DueIn is how long it is until the next attempt, by the store's clock;
	// zero or less when it is due.
	DueIn time.Duration
	// ReadAt is a time before the webhook was read, by this process's clock.
	ReadAt time.Time
}

// Claim is the right of one run of an activity to send at-most-once deliveries.
type Claim [16]byte

// AtMostOnce reports whether the job must never be sent twice: it is a Momento message and no test (M7). The job must
// have its webhook.
func (j *Job) AtMostOnce() bool {
	return j.Webhook.Profile == ProfileMomento && !j.Delivery.Test
}

// Canceled returns why the job must not be sent; "" if it may be sent. A test is sent to an inactive webhook too (S11).
func (j *Job) Canceled() string {
	switch {
	case j.Webhook == nil:
		return TextWebhookDeleted
	case !j.Delivery.Test && j.Webhook.Revokes(&j.Delivery):
		return TextWebhookDisabled
	default:
		return ""
	}
}
