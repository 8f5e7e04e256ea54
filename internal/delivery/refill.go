package delivery

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/hook"
)

const (
	// refillPlaces is the number of places in flight that must be free before more is loaded.
	refillPlaces = maxInFlight / 4
	// refillPause is the time after a load that found nothing new.
	refillPause = time.Second
)

// refill loads more of a webhook's deferred deliveries during a drain's run. A batch ends with
// its slowest request; without a refill, one request that hangs would hold up all deliveries
// behind its batch.
type refill struct {
	webhook hook.WebhookID
	// seen are the deliveries that this run has loaded: the store returns them again as long as
	// their results are not recorded.
	seen map[hook.DeliveryID]bool
	// next is the time before which nothing is loaded, until the time after which nothing is.
	next, until time.Time
}

func newRefill(webhook hook.WebhookID, jobs []hook.Job, until time.Time) *refill {
	f := &refill{webhook: webhook, seen: make(map[hook.DeliveryID]bool, len(jobs)), until: until}
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

// loadMore queues more deferred deliveries if places are free and none of the run's jobs is
// due. It does so no more once the webhook is held or unavailable, or a load has failed: the
// drain's next step finds out.
func (r *run) loadMore(ctx context.Context) error {
	f, now := r.refill, r.engine.now()
	switch {
	case f == nil || len(r.throttled) > 0 || r.inFlight == 0 || r.inFlight > maxInFlight-refillPlaces || now.Before(f.next):
		return nil
	case len(r.queue) > 0 && !r.queue[0].due.After(now):
		return nil
	case !now.Before(f.until):
		r.refill = nil
		return nil
	}
	share, ok := r.engine.tryReserve(MaxBatch)
	if !ok {
		f.next = now.Add(refillPause)
		return nil
	}
	page, err := r.engine.deferredStore.Deferred(ctx, f.webhook, MaxBatch)
	if err != nil || page.Held() || page.TrippedAt != nil {
		share.release()
		r.refill = nil
		r.engine.log.DebugContext(ctx, "drain not refilled", slog.String("webhook_id", f.webhook.String()), slog.Any("error", err))
		return nil
	}
	jobs := f.fresh(due(page.Jobs, MaxBatch))
	if len(jobs) == 0 {
		f.next = now.Add(refillPause)
	}
	share.keep(len(jobs), len(jobs))
	r.share.join(share)
	r.jobs += len(jobs)
	return r.admit(ctx, jobs)
}
