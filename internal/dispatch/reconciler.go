package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/tracing"
	"grapnel/workflows"
)

// Ledger is what the reconciler needs of the store.
type OverdueStore interface {
	Leases
	// Overdue lists the events of deliveries that have been due for longer than age,
	// after the mark, and returns the mark to go on from; the zero mark at the end.
	Overdue(ctx context.Context, age time.Duration, after hook.OverdueMark, limit int) ([]hook.Overdue, hook.OverdueMark, error)
	// Restarts is what it takes to start the workflows of overdue events anew.
	Restarts(ctx context.Context, list []hook.Overdue) ([]hook.Start, error)
}

// Runs starts workflows and shows how they are; client.Client does.
type WorkflowDescriber interface {
	Temporal
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// Resetter ends an activity's wait for its next attempt; cluster.Cluster does.
type Resetter interface {
	ResetActivity(ctx context.Context, workflowID, runID, activityID string) error
}

// Reconciler looks after deliveries whose attempt should have been made a while ago.
// Where the workflow that is to deliver them has ended or is lost, it
// starts another of the same id, so that Temporal sees to it that there is one only,
// whoever starts it, and the event's record goes on naming it. Where the workflow
// waits although something is due, as after a crash in an attempt, which leaves the
// next one to the retry policy, it ends the wait: a crash of ours must not delay by
// hours. Where it runs, or waits for a worker, it does nothing. Every process runs one;
// they take turns, by a lease. Two at once, because one was late to prolong its lease or is
// of a version that has a lock instead, do no harm: a workflow that has been started is
// found, and one that has been hurried waits no more.
type Reconciler struct {
	OverdueStore OverdueStore
	Temporal     WorkflowDescriber
	Resetter     Resetter
	Health       Health
	Logger       *slog.Logger
	// After is how long something must have been due; default 10 min. As long a
	// workflow that has ended is left alone: one that can only fail does so no more
	// often, and what it was sending has come to an end.
	After time.Duration
	// Metrics counts what it does; nil counts nothing.
	Metrics Metrics
	// Tracer keeps workflows in the traces of their publishes; nil keeps none.
	Tracer *tracing.Tracer
	// Interval is how often it looks; default a tenth of After, 1 s to 1 min.
	Interval time.Duration

	// mark is where the next round begins: what runs and only waits for a worker must
	// not keep what comes after it from being looked at.
	mark hook.OverdueMark
	back stepBack
	turn *turn
}

const (
	defaultReconcileAfter = 10 * time.Minute
	reconcilePage         = 500
	// reconcilePages bounds a round, and so what it can ask of Temporal.
	reconcilePages = 4
	// reconcileAtOnce is how many requests to Temporal are under way at once.
	reconcileAtOnce = 8
	// reconcileSoon is when the next round is after one that started something and did
	// not get to the end.
	reconcileSoon = time.Second
)

// Run reconciles until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	if r.Metrics == nil {
		r.Metrics = uncounted{}
	}
	if r.After == 0 {
		r.After = defaultReconcileAfter
	}
	if r.Interval == 0 {
		r.Interval = min(max(r.After/10, time.Second), time.Minute)
	}
	r.back.interval, r.turn = r.Interval, newTurn(r.OverdueStore)
	tell := teller{logger: r.Logger}
	timer := time.NewTimer(r.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		more, err := r.round(ctx)
		if err != nil || r.back.failures == 0 { // or it is as it was
			tell.tell(ctx, "reconcile", err)
		}
		pause := r.Interval
		if more && err == nil {
			pause = min(pause, reconcileSoon)
		}
		timer.Reset(pause)
	}
}

// round looks at some pages; more says that it started workflows and there is more to
// look at.
func (r *Reconciler) round(ctx context.Context) (more bool, err error) {
	if over, err := r.back.over(ctx, r.Health); !over || err != nil {
		return false, err
	}
	more, err = r.pages(ctx)
	switch {
	case errors.Is(err, errAway):
		r.back.failed()
	case err == nil:
		r.back.answered()
	}
	return more, err
}

func (r *Reconciler) pages(ctx context.Context) (more bool, err error) {
	defer func() {
		if err := r.turn.end(ctx); err != nil {
			r.Logger.DebugContext(ctx, "lease not given back", slog.Any("error", err))
		}
	}()
	seen := map[string]bool{}
	var did actions
	for range reconcilePages {
		if held, err := r.turn.begin(ctx); err != nil || !held {
			return false, err
		}
		list, next, err := r.OverdueStore.Overdue(ctx, r.After, r.mark, reconcilePage)
		if err != nil {
			return false, err
		}
		if err := r.page(ctx, unseen(list, seen), &did); err != nil {
			return false, err // and the same page again next time
		}
		if r.mark = next; next == (hook.OverdueMark{}) {
			return false, nil
		}
	}
	return did.restarted.Load() > 0, nil
}

// unseen drops those whose workflow is in seen, and puts the others' there.
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

// actions counts what was done.
type actions struct{ restarted, hurried atomic.Int64 }

// page looks at the workflow of each, and does what has to be done. The error says
// that it should be done again.
func (r *Reconciler) page(ctx context.Context, list []hook.Overdue, did *actions) error {
	before := did.restarted.Load() + did.hurried.Load()
	lost := make([]bool, len(list))
	errs, away := askAll(len(list), reconcileAtOnce, func(i int) (err error) {
		if err = r.turn.keep(ctx); err != nil {
			return err
		}
		lost[i], err = r.look(ctx, contract.OverdueID(list[i]), did)
		return err
	})
	if away {
		return errors.Join(errAway, firstOf(errs))
	}
	if err := turnOver(errs); err != nil {
		return err
	}
	failure := firstOf(errs)
	var gone []hook.Overdue
	for i := range list {
		if lost[i] {
			gone = append(gone, list[i])
		}
	}
	if len(gone) > 0 {
		starts, err := r.OverdueStore.Restarts(ctx, gone)
		if err != nil {
			return err
		}
		errs, away := askAll(len(starts), reconcileAtOnce, func(i int) error {
			if err := r.turn.keep(ctx); err != nil {
				return err
			}
			return r.restart(ctx, starts[i], did)
		})
		if away {
			return errors.Join(errAway, firstOf(errs))
		}
		if err := turnOver(errs); err != nil {
			return err
		}
		failure = errors.Join(failure, firstOf(errs))
	}
	if did.restarted.Load()+did.hurried.Load() > before {
		r.Logger.InfoContext(ctx, "reconciled", slog.Int64("restarted", did.restarted.Load()), slog.Int64("hurried", did.hurried.Load()),
			slog.Int("overdue", len(list)))
	}
	if failure != nil && ctx.Err() == nil {
		// What is refused must not keep what comes after it from being looked at.
		r.Logger.WarnContext(ctx, "some workflows were not reconciled", slog.Any("error", failure))
	}
	return ctx.Err()
}

// look reports whether the workflow is lost or has ended a while ago, and hurries it
// where it waits although something is due.
func (r *Reconciler) look(ctx context.Context, id string, did *actions) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	d, err := r.Temporal.DescribeWorkflowExecution(ctx, id, "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	info := d.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return time.Since(info.GetCloseTime().AsTime()) >= r.After, nil
	}
	// Something is due: what would not be sent before the next round is to be sent now.
	hurried, err := hurry(ctx, r.Resetter, d, r.Interval)
	r.hurried(did, hurried)
	if err != nil {
		return false, err
	}
	for _, child := range d.GetPendingChildren() {
		part, err := r.Temporal.DescribeWorkflowExecution(ctx, child.GetWorkflowId(), child.GetRunId())
		if err == nil {
			hurried, err = hurry(ctx, r.Resetter, part, r.Interval)
			r.hurried(did, hurried)
		}
		if err != nil && !errors.As(err, &notFound) { // it may have ended by now
			return false, err
		}
	}
	return false, nil
}

func (r *Reconciler) hurried(did *actions, n int) {
	did.hurried.Add(int64(n))
	for range n {
		r.Metrics.Hurried()
	}
}

func (r *Reconciler) restart(ctx context.Context, start hook.Start, did *actions) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := workflows.DeliverAgain(start)
	ctx, end := r.Tracer.Starting(ctx, &start)
	defer end()
	_, err := r.Temporal.ExecuteWorkflow(ctx, options, contract.NameDeliver, input)
	r.Metrics.Started(ByReconciler, len(start.Others)+1, err)
	if err != nil {
		return err
	}
	did.restarted.Add(1)
	return nil
}
