package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"grapnel/internal/contract"
	"grapnel/internal/errlog"
	"grapnel/internal/hook"
	"grapnel/internal/tracing"
)

// OverdueStore lists the methods of the store that the reconciler uses.
type OverdueStore interface {
	Leases
	// Overdue lists the events of deliveries that have been due for longer than age, beginning after the mark. It also
	// returns the mark to go on from; the zero mark at the end.
	Overdue(ctx context.Context, age time.Duration, after hook.OverdueMark, limit int) ([]hook.Overdue, hook.OverdueMark, error)
	// Restarts returns the starts of the workflows of overdue events.
	Restarts(ctx context.Context, list []hook.Overdue) ([]hook.Start, error)
}

// WorkflowDescriber starts workflows and describes them; client.Client does.
type WorkflowDescriber interface {
	Temporal
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// ReconcilerConfig is the configuration of NewReconciler. Store, Temporal, Resetter, Health and Logger are required.
type ReconcilerConfig struct {
	Store    OverdueStore
	Temporal WorkflowDescriber
	Resetter Resetter
	Health   Health
	Logger   *slog.Logger
	// After is how long a delivery must have been due; default 10 min. A workflow that has ended is left alone for the
	// same time: so a workflow that can only fail does so no more often, and its requests have ended.
	After time.Duration
	// Metrics counts restarted and woken workflows; nil counts nothing.
	Metrics Metrics
	// Tracer puts workflows into the traces of their publishes; nil traces nothing.
	Tracer *tracing.Tracer
	// Interval is the time between two rounds; default a tenth of After, within 1 s and 1 min.
	Interval time.Duration
}

// Reconciler finds deliveries whose attempt should have been made a while ago, and looks at their workflows.
//
//   - If the workflow has ended or is lost, the reconciler starts another one with the same id. So Temporal makes sure
//     that there is only one, whichever process starts it, and the event still names its workflow.
//   - If an activity of the workflow backs off although something is due, the reconciler wakes it. That happens after a
//     crash in an attempt, which leaves the next one to the retry policy. A crash of Grapnel must not delay deliveries
//     by hours.
//   - If the workflow runs, or waits for a worker, the reconciler does nothing.
//
// Every process runs one, and they take turns by a lease. Two at once do no harm: one may be late to prolong its lease,
// or be of an older version that has a lock instead. A workflow that was started twice is found running, and an
// activity that was woken no longer backs off.
type Reconciler struct {
	config ReconcilerConfig
	// mark is where the next round begins. Workflows that run and only wait for a worker must not keep those after them
	// from being looked at.
	mark    hook.OverdueMark
	backoff backoff
	lease   *lease
}

const (
	defaultReconcileAfter = 10 * time.Minute
	reconcilePage         = 500
	// reconcilePages bounds a round, and so the calls to Temporal.
	reconcilePages = 4
	// reconcileAtOnce is how many calls to Temporal are under way at once.
	reconcileAtOnce = 8
	// reconcileSoon is the pause after a round that restarted something and did not get to the end.
	reconcileSoon = time.Second
)

// NewReconciler checks the configuration and sets defaults. It starts nothing.
func NewReconciler(c ReconcilerConfig) (*Reconciler, error) {
	if c.Store == nil || c.Temporal == nil || c.Resetter == nil || c.Health == nil || c.Logger == nil {
		return nil, errors.New("reconciler: store, temporal, resetter, health and logger are required")
	}
	if c.After < 0 || c.Interval < 0 {
		return nil, errors.New("reconciler: after and interval must not be negative")
	}
	c.Metrics = counting(c.Metrics)
	if c.After == 0 {
		c.After = defaultReconcileAfter
	}
	if c.Interval == 0 {
		c.Interval = min(max(c.After/10, time.Second), time.Minute)
	}
	return &Reconciler{config: c, backoff: backoff{interval: c.Interval}, lease: newLease(c.Store)}, nil
}

// Run reconciles until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	reconcileErrors := errlog.New(r.config.Logger)
	timer := time.NewTimer(r.config.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		more, err := r.round(ctx)
		if err != nil || !r.backoff.paused() { // a pause is no success: the error is still the same
			reconcileErrors.Log(ctx, "reconcile", err)
		}
		pause := r.config.Interval
		if more && err == nil {
			pause = min(pause, reconcileSoon)
		}
		timer.Reset(pause)
	}
}

// round looks at some pages, unless Temporal is unavailable. more reports that it restarted workflows and did not get
// to the end.
func (r *Reconciler) round(ctx context.Context) (more bool, err error) {
	if over, err := r.backoff.over(ctx, r.config.Health); !over || err != nil {
		return false, err
	}
	more, err = r.pages(ctx)
	switch {
	case errors.Is(err, errUnavailable):
		r.backoff.fail()
	case err == nil:
		r.backoff.reset()
	}
	return more, err
}

func (r *Reconciler) pages(ctx context.Context) (more bool, err error) {
	defer func() {
		if err := r.lease.release(ctx); err != nil {
			r.config.Logger.DebugContext(ctx, "lease not given back", slog.Any("error", err))
		}
	}()
	seen := map[string]bool{}
	var did actions
	for range reconcilePages {
		if held, err := r.lease.acquire(ctx); err != nil || !held {
			return false, err
		}
		list, next, err := r.config.Store.Overdue(ctx, r.config.After, r.mark, reconcilePage)
		if err != nil {
			return false, err
		}
		if err := r.page(ctx, unseen(list, seen), &did); err != nil {
			return false, err // the next round begins with the same page
		}
		if r.mark = next; next == (hook.OverdueMark{}) {
			return false, nil
		}
	}
	return did.restarted.Load() > 0, nil
}

// unseen returns the elements whose workflow is not in seen, and adds their workflows to it.
func unseen(list []hook.Overdue, seen map[string]bool) []hook.Overdue {
	var fresh []hook.Overdue
	for _, o := range list {
		if id := contract.OverdueID(o); !seen[id] {
			seen[id] = true
			fresh = append(fresh, o)
		}
	}
	return fresh
}
