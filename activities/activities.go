// Package activities has the activities that the workflows order. Each of them gives the
// delivery engine a window of time, and turns the engine's report or error into a result, a
// heartbeat or an application error of Temporal. It must not import storage, a driver or the
// API. Its invariant: a receiver's failure is data, recorded as an attempt; an error leaves an
// activity only to ask Temporal for the next run, or because Grapnel could not send or record.
package activities

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/delivery"
	"grapnel/internal/hook"
)

// Deps are the dependencies of New: those of the engine, and the stores of drains, replays and deletions.
type Deps struct {
	delivery.Deps
	DrainStore DrainStore
	Replays    Replays
	Deletions  Deletions
}

// DrainStore is the part of the store that drains use.
type DrainStore interface {
	// ExpireDeferred fails deferred deliveries whose event is older than age, at most limit.
	ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error)
	// SetBreaker opens or closes the webhook's circuit breaker.
	SetBreaker(ctx context.Context, webhook hook.WebhookID, open bool) error
	// DrainSleeps notes when the drain will look again, so that a lost one is noticed. It
	// returns false if something has changed since the drain looked.
	DrainSleeps(ctx context.Context, webhook hook.WebhookID, n hook.Nap) (bool, error)
	// DrainEnds ends a drain. It returns false if something is deferred or has changed since.
	DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (bool, error)
}

// Activities are the activities; register all of them with the worker.
type Activities struct {
	engine     *delivery.Engine
	drainStore DrainStore
	drains     delivery.Drains
	replays    Replays
	deletions  Deletions
	log        *slog.Logger
	jitter     func(time.Duration) time.Duration
	now        func() time.Time
}

// New returns the activities, or an error if a dependency is missing.
func New(d Deps) (*Activities, error) {
	if d.DrainStore == nil || d.Replays == nil || d.Deletions == nil {
		return nil, errors.New("activities: drain store, replays and deletions are required")
	}
	engine, err := delivery.New(&d.Deps)
	if err != nil {
		return nil, err
	}
	return &Activities{
		engine: engine, drainStore: d.DrainStore, drains: d.Drains, replays: d.Replays, deletions: d.Deletions,
		log: d.Logger, jitter: d.Jitter, now: d.Now,
	}, nil
}

// Engine returns the delivery engine of the activities.
func (a *Activities) Engine() *delivery.Engine { return a.engine }

// window returns the time in which the activity may work.
func (a *Activities) window(ctx context.Context) delivery.Window {
	info := activity.GetInfo(ctx)
	return a.engine.Window(info.Deadline, activity.GetWorkerStopChannel(ctx)).Waited(info.StartedTime.Sub(info.ScheduledTime))
}

// inSteps makes steps until one ends the work, or returns an error, which asks for the next run, or until the process is
// stopping: then stopped returns that error.
func inSteps[R any](window delivery.Window, step func() (result R, ended bool, err error), stopped func() error) (none R, err error) {
	for {
		result, ended, err := step()
		switch {
		case err != nil || ended:
			return result, err
		case window.IsStopping():
			return none, stopped()
		}
	}
}
