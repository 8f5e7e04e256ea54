package activities

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/hook"
)

const (
	// refillPlaces is how many places in flight must be free before more is loaded.
	refillPlaces = maxInFlight / 4
	// refillPause is the time after a load that found nothing new.
	refillPause = time.Second
)

// refill loads more of a webhook's backlog for a drain's run that is under way. A batch ends
// with its slowest request; without a refill, one request that hangs would hold up all
// that is behind its batch.
type refill struct {
	drain *drain
	// seen are the deliveries that this run has loaded: the store returns them again as long
	// as their results are not recorded.
	seen map[hook.DeliveryID]bool
	next time.Time
}

func newRefill(d *drain, jobs []hook.Job) *refill {
	f := &refill{drain: d, seen: make(map[hook.DeliveryID]bool, len(jobs))}
	f.fresh(jobs)
	return f
}

// fresh returns the jobs that this run has not loaded before.
func (f *refill) fresh(jobs []hook.Job) []hook.Job {
	return slices.DeleteFunc(jobs, func(j hook.Job) bool {
		seen := f.seen[j.Delivery.ID]
		f.seen[j.Delivery.ID] = true
		return seen
	})
}

// refill queues more jobs where places are free and nothing here is due. It ends for
// good when the webhook is to be left alone, or the load fails: the drain's next
// step finds out.
func (r *run) refill(ctx context.Context) error {
	f, now := r.backlog, r.now()
	switch {
	case f == nil || len(r.crowds) > 0 || r.inFlight == 0 || r.inFlight > maxInFlight-refillPlaces || now.Before(f.next):
		return nil
	case len(r.waiting) > 0 && !r.waiting[0].due.After(now):
		return nil
	case f.drain.isOver():
		r.backlog = nil
		return nil
	}
	share, ok := r.loadingFirst(mostBatch)
	if !ok {
		f.next = now.Add(refillPause)
		return nil
	}
	backlog, err := r.parking.Deferred(ctx, f.drain.webhook, mostBatch)
	if err != nil || backlog.PausedAt != nil || backlog.TrippedAt != nil {
		share.release()
		r.backlog = nil
		r.log.DebugContext(ctx, "drain not refilled", slog.String("webhook_id", f.drain.webhook.String()), slog.Any("error", err))
		return nil
	}
	jobs := f.fresh(due(backlog.Jobs, mostBatch))
	if len(jobs) == 0 {
		f.next = now.Add(refillPause)
	}
	share.keep(len(jobs), len(jobs))
	r.share.join(share)
	r.jobs += len(jobs)
	return r.admit(ctx, jobs)
}
