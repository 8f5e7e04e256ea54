package delivery

import (
	"context"
	"errors"
	"time"

	"grapnel/internal/hook"
)

// staleAfter is how long a loaded delivery may be taken as current. Its webhook may be so for
// less: see versionCache.
const staleAfter = time.Second

// sendNext makes the next attempt of a job.
func (r *run) sendNext(ctx context.Context, q queued) result {
	job, ended, err := r.current(ctx, q)
	switch {
	case err != nil || ended:
		return result{job: job, ended: ended, err: err}
	case r.mustDefer(job):
		return result{job: job, deferred: true}
	}
	return r.attempt(ctx, job, false)
}

// attempt makes an attempt with the payload that was loaded for the delivery.
func (r *run) attempt(ctx context.Context, job *hook.Job, manual bool) result {
	if r.window.held != nil && !r.window.held() { // the last look before the request
		return result{job: job, err: errors.Join(hook.ErrNotSent, ErrStopping)}
	}
	return r.engine.attemptWith(ctx, job, r.parts.get(job.Delivery.ID), manual)
}

// current returns the job as it is to be sent now. It loads the job again if this run has sent
// it before, if it was loaded a while ago, or if its webhook has changed since (S15); then
// there may be nothing left to send (ended).
func (r *run) current(ctx context.Context, q queued) (job *hook.Job, ended bool, err error) {
	job = q.job
	reload := q.sentBefore || r.engine.now().Sub(job.ReadAt) >= staleAfter
	for range maxChecks {
		if reload {
			if job, ended, err = r.engine.reload(ctx, job); err != nil || ended {
				return job, ended, err
			}
		}
		holds, err := r.engine.versions.holds(ctx, job.Webhook.ID, job.Webhook.Version, job.ReadAt)
		if err != nil || holds {
			return job, false, err
		}
		reload = true
	}
	return job, false, errChanging
}

// reload loads a job again, and cancels its delivery if its webhook was deleted or disabled.
// ended says that there is nothing left to send. With an error it returns the old job, which
// still has its webhook.
func (e *Engine) reload(ctx context.Context, old *hook.Job) (job *hook.Job, ended bool, err error) {
	loaded, err := e.lookup.Job(ctx, old.Delivery.ID)
	if err == nil {
		err = loaded.Err
	}
	if err != nil {
		return old, false, err
	}
	job = &loaded
	if reason := job.Canceled(); reason != "" && job.Delivery.Outstanding() {
		if err := e.store.CancelDeliveries(ctx, []hook.DeliveryID{job.Delivery.ID}, reason); err != nil {
			return old, false, err
		}
		job.Delivery = canceledDelivery(job.Delivery, reason)
	}
	return job, !job.Delivery.Outstanding(), nil
}
