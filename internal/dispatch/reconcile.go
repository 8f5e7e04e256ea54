package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
	"grapnel/workflows"
)

// actions counts what a round has done.
type actions struct{ restarted, woken atomic.Int64 }

func (a *actions) sum() int64 { return a.restarted.Load() + a.woken.Load() }

// page looks at the workflow of each overdue event. It wakes the workflows that back off, and restarts the lost ones.
// An error says that the page has to be done again.
func (r *Reconciler) page(ctx context.Context, list []hook.Overdue, did *actions) error {
	before := did.sum()
	lost := make([]bool, len(list))
	refused, err := r.callAll(ctx, len(list), func(i int) (err error) {
		lost[i], err = r.look(ctx, contract.OverdueID(list[i]), did)
		return err
	})
	if err != nil {
		return err
	}
	var gone []hook.Overdue
	for i := range list {
		if lost[i] {
			gone = append(gone, list[i])
		}
	}
	if len(gone) > 0 {
		starts, err := r.config.Store.Restarts(ctx, gone)
		if err != nil {
			return err
		}
		failure, err := r.callAll(ctx, len(starts), func(i int) error { return r.restart(ctx, starts[i], did) })
		if err != nil {
			return err
		}
		refused = errors.Join(refused, failure)
	}
	if did.sum() > before {
		r.config.Logger.InfoContext(ctx, "reconciled", slog.Int64("restarted", did.restarted.Load()), slog.Int64("woken", did.woken.Load()),
			slog.Int("overdue", len(list)))
	}
	if refused != nil && ctx.Err() == nil {
		// A workflow that Temporal refuses must not keep those after it from being looked at.
		r.config.Logger.WarnContext(ctx, "some workflows were not reconciled", slog.Any("error", refused))
	}
	return ctx.Err()
}

// callAll makes n calls to Temporal while the lease is held. refused is the first error of a call that failed; err says
// that not all calls were made, because Temporal is unavailable or the lease is lost.
func (r *Reconciler) callAll(ctx context.Context, n int, call func(i int) error) (refused, err error) {
	errs, unavailable := callAll(n, reconcileAtOnce, func(i int) error {
		if err := r.lease.renew(ctx); err != nil {
			return err
		}
		return call(i)
	})
	refused = firstError(errs)
	if unavailable {
		return refused, errors.Join(errUnavailable, refused)
	}
	return refused, leaseLost(errs)
}

// look reports whether the workflow is lost or has ended a while ago. It wakes activities of a running workflow that
// back off although something is due.
func (r *Reconciler) look(ctx context.Context, id string, did *actions) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	d, err := r.config.Temporal.DescribeWorkflowExecution(ctx, id, "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	info := d.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return time.Since(info.GetCloseTime().AsTime()) >= r.config.After, nil
	}
	// Something is due, so an activity that would not try before the next round has to try now.
	woken, err := wake(ctx, r.config.Resetter, d, r.config.Interval)
	r.countWoken(did, woken)
	if err != nil {
		return false, err
	}
	for _, child := range d.GetPendingChildren() {
		part, err := r.config.Temporal.DescribeWorkflowExecution(ctx, child.GetWorkflowId(), child.GetRunId())
		if err == nil {
			woken, err = wake(ctx, r.config.Resetter, part, r.config.Interval)
			r.countWoken(did, woken)
		}
		if err != nil && !errors.As(err, &notFound) { // it may have ended meanwhile
			return false, err
		}
	}
	return false, nil
}

func (r *Reconciler) countWoken(did *actions, n int) {
	did.woken.Add(int64(n))
	for range n {
		r.config.Metrics.Woken()
	}
}

func (r *Reconciler) restart(ctx context.Context, start hook.Start, did *actions) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := workflows.DeliverAgain(start)
	ctx, end := r.config.Tracer.Starting(ctx, &start)
	defer end()
	_, err := r.config.Temporal.ExecuteWorkflow(ctx, options, contract.NameDeliver, input)
	r.config.Metrics.Started(measure.ByReconciler, len(start.Others)+1, err)
	if err != nil {
		return err
	}
	did.restarted.Add(1)
	return nil
}
