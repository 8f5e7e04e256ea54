package hook

import (
	"crypto/ed25519"
	"time"
)

// DeliveryState is where a delivery stands; the same words are a CHECK
// constraint in the database.
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

// Texts of what ends a delivery without an attempt (S12).
const (
	TextWebhookDisabled = "Webhook disabled"
	TextWebhookDeleted  = "Webhook deleted"
	// TextSecretUnavailable ends a delivery whose webhook's secrets no key has opened for
	// DeferredFor.
	TextSecretUnavailable = "Signing secret unavailable"
	// TextDropped ends an at-most-once delivery whose sender went before it could
	// say what came of it (M7).
	TextDropped = "Outcome unknown"
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
	// ReplayID is the replay that made it; zero if none did.
	ReplayID ReplayID
	State    DeliveryState
	// Parked says that it waits for its webhook, which is over a limit or unavailable.
	Deferred bool
	// Waits is what it waits for, where it was read to be shown; nil if it does not wait.
	Waits *Wait
	// Generation is the webhook's at the accept; nil where an older process accepted it.
	Generation *int
	// Attempts counts all requests, those sent by hand too.
	Attempts int
	// Scheduled counts the requests that the schedule sent: the five of spec 1.
	Scheduled int
	// StatusCode is the last HTTP status of any attempt; 0 if none came.
	StatusCode int
	// Error is the last attempt's; empty if there was none.
	Error string
	// NextAttemptAt is when the next attempt is due; nil when none will be made.
	NextAttemptAt *time.Time
	DeliveredAt   *time.Time
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Outstanding reports whether an attempt is still to come.
func (d *Delivery) Outstanding() bool { return d.NextAttemptAt != nil }

// MaxInline is how many bytes an event's data may have to come along with its jobs. What
// is larger is loaded when its request is about to be made: a backlog of it must not be
// in memory.
const MaxInline = 2 << 10

// Job is a delivery with all it takes to send it, but for a large payload.
type Job struct {
	Delivery Delivery
	Event    Event
	// PayloadSize is how many bytes the event's data has where they were left out,
	// because they are over MaxInline; 0 where Event.Data holds them.
	PayloadSize int
	// Webhook is as it stands now (S15); nil when it was deleted.
	Webhook *Webhook
	// SigningKeys are those of the webhook's tenant, the current one first, where the
	// webhook wants v1a.
	SigningKeys []ed25519.PrivateKey
	// Err says that the webhook's secrets could not be read; the job must not be
	// sent, and its neighbours are none the worse for it.
	Err error
	// TraceParent is sent along, if it is not empty: the webhook has asked for it.
	TraceParent string
	// DueIn is how long it is until the next attempt, by the store's clock;
	// zero or less when it is due.
	DueIn time.Duration
	// ReadAt is a time from before the webhook was read, by this process's clock.
	ReadAt time.Time
}

// Claim is the right of one run of an activity to send at-most-once deliveries.
type Claim [16]byte

// AtMostOnce tells a job that must never be sent twice: a Momento message, unless
// a person asks for it (M7). It must have its webhook.
func (j *Job) AtMostOnce() bool {
	return j.Webhook.Profile == ProfileMomento && !j.Delivery.Test
}

// Canceled says why the job must not be sent; "" if it may be. A test is sent to
// an inactive webhook too (S11).
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
