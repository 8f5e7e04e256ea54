package delivery

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// If no key opens a webhook's secrets, because the key was taken away or the row is damaged,
// no request can be made that its receiver would accept. The webhook's deliveries wait until an
// operator has repaired that: the engine tries them ever more rarely, and fails them in the end
// as it does when an endpoint stays unavailable.
const (
	// maxUnreadablePause is the longest time between two tries.
	maxUnreadablePause = 5 * time.Minute
	// unreadableGrowth divides the age of a delivery: the quotient is the time to the next try.
	unreadableGrowth = 2
)

// setUnreadable sets a job aside. The log gets one line for each webhook.
func (r *run) setUnreadable(ctx context.Context, job *hook.Job) {
	d := job.Delivery
	if !slices.ContainsFunc(r.unreadable, func(other hook.Delivery) bool { return other.WebhookID == d.WebhookID }) {
		r.engine.log.ErrorContext(ctx, "webhook can't be used", slog.String("webhook_id", d.WebhookID.String()), slog.Any("error", job.Err))
	}
	d.Error = hook.TextSecretUnavailable // a person reads it
	r.unreadable = append(r.unreadable, d)
}

// expireUnreadable fails the unreadable deliveries that have waited for too long.
func (r *run) expireUnreadable(ctx context.Context) error {
	var old []hook.DeliveryID
	for i := range r.unreadable {
		if r.engine.now().Sub(r.unreadable[i].CreatedAt) > hook.DeferredFor {
			old = append(old, r.unreadable[i].ID)
		}
	}
	if len(old) == 0 {
		return nil
	}
	expired, err := r.engine.store.ExpireUnreadable(ctx, old, hook.DeferredFor)
	if err != nil {
		return err
	}
	r.engine.Dispatch(expired.Starts)
	r.unreadable = slices.DeleteFunc(r.unreadable, func(d hook.Delivery) bool {
		if !slices.Contains(expired.Deliveries, d.ID) {
			return false
		}
		d.State, d.Error, d.NextAttemptAt = hook.StateFailed, hook.TextSecretUnavailable, nil
		r.end(d)
		return true
	})
	return nil
}

// soonest returns the delay of the next run: until a delivery is due, or a blocked or
// unreadable one may be tried again.
func (r *run) soonest() time.Duration {
	in := maxUnreadablePause
	if len(r.queue) > 0 {
		in = r.nextIn()
	}
	if len(r.blocked) > 0 {
		in = min(in, r.engine.RetryPause())
	}
	for i := range r.unreadable {
		age := r.engine.now().Sub(r.unreadable[i].CreatedAt)
		in = min(in, min(max(age/unreadableGrowth, retryAfter)+r.engine.jitter(retryJitter), maxUnreadablePause))
	}
	return in
}
