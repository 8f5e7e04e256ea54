package activities

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// Where no key opens a webhook's secrets, because it was taken away or the row is
// damaged, nothing can be sent that its receiver would accept. Its deliveries wait for
// somebody to mend it, looking ever more rarely, and fail in the end like those whose
// endpoint is away.
const (
	// mostUnreadable is the longest time between two looks.
	mostUnreadable = 5 * time.Minute
	// unreadableGrows is which part of a delivery's age it waits for the next look.
	unreadableGrows = 2
)

// unread sets a job aside. The log has each webhook once, however much waits for it.
func (r *run) unread(ctx context.Context, job *hook.Job) {
	d := job.Delivery
	if !slices.ContainsFunc(r.unreadable, func(other hook.Delivery) bool { return other.WebhookID == d.WebhookID }) {
		r.log.ErrorContext(ctx, "webhook can't be used", slog.String("webhook_id", d.WebhookID.String()), slog.Any("error", job.Err))
	}
	d.Error = hook.TextSecretUnavailable // for whoever looks at it
	r.unreadable = append(r.unreadable, d)
}

// expire fails those of the unreadable that have waited for too long.
func (r *run) expire(ctx context.Context) error {
	var old []hook.DeliveryID
	for i := range r.unreadable {
		if r.now().Sub(r.unreadable[i].CreatedAt) > hook.DeferredFor {
			old = append(old, r.unreadable[i].ID)
		}
	}
	if len(old) == 0 {
		return nil
	}
	expired, err := r.store.ExpireUnreadable(ctx, old, hook.DeferredFor)
	if err != nil {
		return err
	}
	r.dispatch(expired.Starts)
	r.unreadable = slices.DeleteFunc(r.unreadable, func(d hook.Delivery) bool {
		if !slices.Contains(expired.Deliveries, d.ID) {
			return false
		}
		d.State, d.Error, d.NextAttemptAt = hook.StateFailed, hook.TextSecretUnavailable, nil
		r.done = append(r.done, d)
		return true
	})
	return nil
}

// soonest is when the run's next run should be: when something is due, or when what is
// held or unreadable may be looked at again.
func (r *run) soonest() time.Duration {
	in := mostUnreadable
	if len(r.waiting) > 0 {
		in = r.nextIn()
	}
	if len(r.held) > 0 {
		in = min(in, oursRetry+r.jitter(oursJitter))
	}
	for i := range r.unreadable {
		age := r.now().Sub(r.unreadable[i].CreatedAt)
		in = min(in, min(max(age/unreadableGrows, oursRetry)+r.jitter(oursJitter), mostUnreadable))
	}
	return in
}
