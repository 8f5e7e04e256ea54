// Package activities does the work that workflows order: it loads deliveries,
// sends the signed POSTs and records what came of them. It knows the store and
// the HTTP client only by the small interfaces below, and must not import
// storage, a driver or the API. Its invariant: a receiver's failure is data,
// recorded as an attempt; an error leaves an activity only to ask Temporal for
// the next attempt, or because we could not send or record.
package activities

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/hook"
	"grapnel/internal/tracing"
)

// Store is what delivering needs of the store.
type Store interface {
	// Outstanding loads the events' deliveries that have an attempt to come, without data
	// over hook.MaxInline.
	Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error)
	// Record writes attempts and returns the deliveries as they then stand.
	Record(ctx context.Context, records []hook.Record) ([]hook.Delivery, error)
	// CancelDeliveries ends deliveries without another attempt.
	CancelDeliveries(ctx context.Context, ids []hook.DeliveryID, reason string) error
	// ClaimDeliveries returns those of the at-most-once deliveries that the claim
	// may send to their webhooks as they were loaded; claiming again is safe.
	ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error)
	// ReleaseDeliveries takes a claim back when nothing was sent.
	ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) error
	// DropDeliveries ends those that were claimed longer ago than age and of which
	// nobody will say what came, and returns them.
	DropDeliveries(ctx context.Context, ids []hook.DeliveryID, age time.Duration) ([]hook.DeliveryID, error)
	// BeginTest marks a test as about to be sent; false when it was dropped.
	BeginTest(ctx context.Context, id hook.DeliveryID, claim hook.Claim) (bool, error)
	// ExpireUnreadable fails those whose webhook's secrets can't be read and whose event is
	// older than age, and returns them.
	ExpireUnreadable(ctx context.Context, ids []hook.DeliveryID, age time.Duration) ([]hook.DeliveryID, error)
}

// Lookup reads deliveries, outstanding or not.
type Lookup interface {
	// Job loads one delivery, whatever its state, without data over hook.MaxInline.
	Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error)
	// States loads the events' deliveries, whatever their state.
	States(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Delivery, error)
	// Versions are those of webhooks as they are now; one that is gone has none.
	Versions(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error)
	// Payloads loads the data of events, however large; of those that are gone it has none.
	Payloads(ctx context.Context, events []hook.EventID) (map[hook.EventID][]byte, error)
}

// Sender sends one request. An error means that we could not send, never that
// the receiver failed.
type Sender interface {
	Send(ctx context.Context, r hook.Request) (hook.Attempt, error)
}

// Deps are what New needs; those with a default are optional.
type Deps struct {
	Store         Store
	Lookup        Lookup
	Sender        Sender
	DeferredStore DeferredStore
	Drains        Drains
	Replays       Replays
	Schedule      hook.Schedule
	Logger        *slog.Logger
	// DisableOnFinal disables a webhook whose delivery has failed for good (S14).
	DisableOnFinal bool
	// Concurrency is how many requests one activity has in flight; default 500.
	Concurrency int
	// Memory is how many bytes the process may have, of which deliveries hold some three
	// fifths at most; default 1 GiB.
	Memory int64
	// Jitter draws from 0 up to a bound; default rand.N.
	Jitter func(time.Duration) time.Duration
	// Now is the clock; default time.Now. Tests that skip time set it.
	Now func() time.Time
	// Metrics counts requests; nil counts none.
	Metrics Metrics
	// Tracer makes spans of requests; nil makes none.
	Tracer *tracing.Tracer
}

// Metrics counts requests to receivers.
type Metrics interface {
	// Sending counts requests that begin, and by -1 those that end.
	Sending(n int)
	// Attempted counts a request that was made, and what came of it.
	Attempted(job *hook.Job, sent *hook.Attempt)
	// NotSent counts one that we could not make.
	NotSent()
}

type uncounted struct{}

func (uncounted) Sending(int)                        {}
func (uncounted) Attempted(*hook.Job, *hook.Attempt) {}
func (uncounted) NotSent()                           {}

// Activities are the activities; register them all with the worker.
type Activities struct {
	store       Store
	lookup      Lookup
	sender      Sender
	schedule    hook.Schedule
	strict      bool
	log         *slog.Logger
	concurrency int
	jitter      func(time.Duration) time.Duration
	now         func() time.Time
	gates       *gates
	budget      *budget
	parking     DeferredStore
	drains      Drains
	replays     Replays
	ahead       *ahead
	looks       *looks
	late        *late
	// senders send requests.
	senders *crew
	metrics Metrics
	tracer  *tracing.Tracer
	// begun is the current run of the worker.
	begun atomic.Pointer[chan struct{}]
}

// defaultConcurrency is as many as an activity can have: deliveries that hang must
// not keep the others of their event waiting (S16).
const defaultConcurrency = 500

// New checks the dependencies.
func New(d Deps) (*Activities, error) {
	if d.Store == nil || d.Lookup == nil || d.Sender == nil || d.DeferredStore == nil || d.Drains == nil || d.Replays == nil || d.Logger == nil {
		return nil, errors.New("activities: store, lookup, sender, parking, drains, replays and logger are required")
	}
	if err := d.Schedule.Validate(); err != nil {
		return nil, err
	}
	if d.Concurrency == 0 {
		d.Concurrency = defaultConcurrency
	}
	if d.Jitter == nil {
		d.Jitter = rand.N[time.Duration]
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Metrics == nil {
		d.Metrics = uncounted{}
	}
	budget := newBudget(d.Memory)
	a := &Activities{
		store: d.Store, lookup: d.Lookup, sender: d.Sender, schedule: d.Schedule, strict: d.DisableOnFinal,
		log: d.Logger, concurrency: d.Concurrency, jitter: d.Jitter, now: d.Now,
		gates: newGates(budget.payloads.size / webhookPart), budget: budget, late: &late{}, parking: d.DeferredStore, drains: d.Drains, replays: d.Replays, ahead: &ahead{events: map[hook.EventID]*loading{}},
		looks:   newLooks(d.Lookup.Versions, d.Now),
		metrics: d.Metrics, tracer: d.Tracer,
	}
	a.senders = newCrew(a.stopped)
	a.Begin()
	return a, nil
}

// Begin begins a run of the worker, of which there may be several, one after the other.
// When stop is called, activities of this run begin no further requests; those under way go
// on. Call it before the worker is stopped, which tells local activities too late.
// Before the first run activities work as in one.
func (a *Activities) Begin() (stop func()) {
	stopped := make(chan struct{})
	a.begun.Store(&stopped)
	return sync.OnceFunc(func() { close(stopped) })
}

// stopped is closed when the current run of the worker stops.
func (a *Activities) stopped() <-chan struct{} { return *a.begun.Load() }

// stops are closed when what an activity belongs to stops: its worker, and the run of it
// in which the activity began.
type stops struct{ worker, run <-chan struct{} }

func (a *Activities) stops(ctx context.Context) stops {
	return stops{activity.GetWorkerStopChannel(ctx), a.stopped()}
}

func (s stops) isStopping() bool {
	select {
	case <-s.worker:
		return true
	case <-s.run:
		return true
	default:
		return false
	}
}
