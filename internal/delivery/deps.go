package delivery

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

// Store is the part of the store that the engine writes to.
type Store interface {
	// Outstanding loads the events' deliveries that have an attempt to come, without data
	// over hook.MaxInline.
	Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error)
	// Record writes attempts, and returns the deliveries as they are then and the starts of the operational events that it
	// published. If it fails in part, the starts of what was recorded come beside the error.
	Record(ctx context.Context, records []hook.Record) (hook.Recorded, error)
	// CancelDeliveries ends deliveries without another attempt.
	CancelDeliveries(ctx context.Context, ids []hook.DeliveryID, reason string) error
	// ClaimDeliveries claims at-most-once deliveries whose webhooks still have the given
	// versions, and returns the claimed ones. Claiming again with the same claim is safe.
	ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error)
	// ReleaseDeliveries takes a claim back when nothing was sent.
	ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) error
	// DropDeliveries marks as dropped every delivery whose claim is older than age and was
	// never resolved.
	DropDeliveries(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error)
	// BeginTest marks a test as being sent. It returns false if the test was dropped before.
	BeginTest(ctx context.Context, id hook.DeliveryID, claim hook.Claim) (bool, error)
	// ExpireUnreadable fails the deliveries whose webhook's secrets can't be read and whose
	// event is older than age.
	ExpireUnreadable(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error)
}

// Lookup reads deliveries, outstanding or not.
type Lookup interface {
	// Job loads one delivery in any state, without data over hook.MaxInline.
	Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error)
	// States loads the events' deliveries in any state.
	States(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Delivery, error)
	// Versions returns the current versions of webhooks, without webhooks that don't exist.
	Versions(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error)
	// Payloads loads the data of events of any size, without events that don't exist.
	Payloads(ctx context.Context, events []hook.EventID) (map[hook.EventID][]byte, error)
}

// Sender sends one request. An error means that Grapnel could not send, never that the
// receiver failed.
type Sender interface {
	Send(ctx context.Context, r hook.Request) (hook.Attempt, error)
}

// DeferredStore keeps deliveries that wait for their webhook.
type DeferredStore interface {
	// Defer hands outstanding deliveries over to the drains of their webhooks.
	Defer(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error
	// Deferred loads a webhook's deferred deliveries, at most limit, the longest due first.
	Deferred(ctx context.Context, webhook hook.WebhookID, limit int) (hook.DeferredPage, error)
	// SetBreaker opens or closes the webhook's circuit breaker.
	SetBreaker(ctx context.Context, webhook hook.WebhookID, open bool) error
}

// Drains starts the workflow that drains a webhook, unless it runs.
type Drains interface {
	Drain(ctx context.Context, webhook hook.WebhookID) error
}

// Dispatcher starts the workflows of stored events. Dispatch does not wait.
type Dispatcher interface {
	Dispatch(start hook.Start)
}

// Metrics counts requests to receivers.
type Metrics interface {
	// Sending counts requests that begin, and by -1 requests that end.
	Sending(n int)
	// Attempted counts a request that was made, by its outcome.
	Attempted(job *hook.Job, sent *hook.Attempt)
	// NotSent counts a request that Grapnel could not make.
	NotSent()
	// Immediate counts an event whose first attempts this process began at the commit, or left to a workflow.
	Immediate(began bool)
}

// noMetrics counts nothing. A nil *metrics.Metrics would do the same, but that package links Temporal's client.
type noMetrics struct{}

func (noMetrics) Sending(int)                        {}
func (noMetrics) Attempted(*hook.Job, *hook.Attempt) {}
func (noMetrics) NotSent()                           {}
func (noMetrics) Immediate(bool)                     {}
