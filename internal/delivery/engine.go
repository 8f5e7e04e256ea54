// Package delivery is the delivery engine: it loads deliveries, sends the signed requests
// within the limits of their webhooks, and records the attempts. It knows the store and the
// HTTP client only by small interfaces, and nothing of Temporal: an activity gives it a Window
// and turns its Report into the activity's result. It must not import storage, a driver or the
// API. Its invariant: a receiver's failure is data, recorded as an attempt; an error means
// that Grapnel could not send or record.
package delivery

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/tracing"
)

// Deps are the dependencies of New. Those with a default are optional.
type Deps struct {
	Store         Store
	Lookup        Lookup
	Sender        Sender
	DeferredStore DeferredStore
	Drains        Drains
	// Dispatcher starts the workflows of the operational events that the store has published; nil leaves them to the sweeper.
	Dispatcher Dispatcher
	// Heartbeats has the processes that make immediate attempts; nil if no process does.
	Heartbeats Heartbeats
	// Owner is the lease by which this process makes immediate attempts, and Starts starts the
	// workflows of their events; nil leaves all first attempts to workflows.
	Owner    *Owner
	Starts   Starts
	Schedule hook.Schedule
	Logger   *slog.Logger
	// DisableOnFinal disables a webhook whose delivery has failed for good (S14).
	DisableOnFinal bool
	// Concurrency is the number of requests that one run has in flight; default 500.
	Concurrency int
	// Memory is the number of bytes that the process may have; deliveries hold some three
	// fifths of it at most. Default 1 GiB.
	Memory int64
	// Jitter draws a duration from 0 up to a bound; default rand.N.
	Jitter func(time.Duration) time.Duration
	// Now is the clock; default time.Now. Tests that skip time set it.
	Now func() time.Time
	// Metrics counts requests; nil counts none.
	Metrics Metrics
	// Tracer makes spans of requests; nil makes none.
	Tracer *tracing.Tracer
}

// complete checks the dependencies and sets the defaults.
func (d *Deps) complete() error {
	if d.Store == nil || d.Lookup == nil || d.Sender == nil || d.DeferredStore == nil || d.Drains == nil || d.Logger == nil {
		return errors.New("delivery: store, lookup, sender, deferred store, drains and logger are required")
	}
	if err := d.Schedule.Validate(); err != nil {
		return err
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
		d.Metrics = noMetrics{}
	}
	return nil
}

// defaultConcurrency is the largest number of deliveries of one run: receivers that hang must
// not delay the other deliveries of their event (S16).
const defaultConcurrency = 500

// Engine delivers. One process has one, which all its activities share.
type Engine struct {
	store         Store
	lookup        Lookup
	sender        Sender
	deferredStore DeferredStore
	drains        Drains
	dispatcher    Dispatcher
	heartbeats    Heartbeats
	// immediate is nil if this process makes no immediate attempts.
	immediate      *immediate
	schedule       hook.Schedule
	disableOnFinal bool
	log            *slog.Logger
	concurrency    int
	jitter         func(time.Duration) time.Duration
	now            func() time.Time
	limiter        *endpointLimiter
	budget         *budget
	versions       *versionCache
	late           *late
	// senders are the goroutines that send requests.
	senders *goroutinePool
	metrics Metrics
	tracer  *tracing.Tracer
	// workerRun is closed when the current run of the worker stops.
	workerRun atomic.Pointer[chan struct{}]
}

// New returns an engine, or an error if a dependency is missing. It sets the defaults in d.
func New(d *Deps) (*Engine, error) {
	if err := d.complete(); err != nil {
		return nil, err
	}
	budget := newBudget(d.Memory)
	e := &Engine{
		store: d.Store, lookup: d.Lookup, sender: d.Sender, deferredStore: d.DeferredStore, drains: d.Drains, dispatcher: d.Dispatcher, heartbeats: d.Heartbeats,
		schedule: d.Schedule, disableOnFinal: d.DisableOnFinal, log: d.Logger, concurrency: d.Concurrency,
		jitter: d.Jitter, now: d.Now, metrics: d.Metrics, tracer: d.Tracer,
		limiter: newEndpointLimiter(budget.payloads.size / webhookPart), budget: budget, late: &late{},
		versions: newVersionCache(d.Lookup.Versions, d.Now),
	}
	if d.Owner != nil && d.Starts != nil {
		e.immediate = &immediate{
			engine: e, owner: d.Owner, starts: d.Starts, webhooks: newWebhookCache(d.Now), hurry: make(chan struct{}, 1), events: map[hook.EventID]*firstAttempts{},
		}
	}
	e.senders = newGoroutinePool(e.stopped)
	e.Begin()
	return e, nil
}

// Begin begins a run of the worker; there may be several, one after the other. When stop is
// called, activities of this run begin no further requests; requests in flight go on. Call
// stop before the worker is stopped, which tells local activities too late. Before the first
// call of Begin the engine works as in a run.
func (e *Engine) Begin() (stop func()) {
	stopped := make(chan struct{})
	e.workerRun.Store(&stopped)
	return sync.OnceFunc(func() { close(stopped) })
}

// Dispatch starts the workflows of operational events. A process that ends before leaves them to the sweeper.
func (e *Engine) Dispatch(starts []hook.Start) {
	for i := range starts {
		e.Accept(starts[i])
	}
}

// stopped returns a channel that is closed when the current run of the worker stops.
func (e *Engine) stopped() <-chan struct{} { return *e.workerRun.Load() }
