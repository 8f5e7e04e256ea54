package delivery

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// run is the work of one activity on its deliveries. Its fields belong to the goroutine of
// loop; the goroutines that send use only engine, window, deadline, draining, parts, claim,
// share.local, results and recorded.
type run struct {
	engine *Engine
	window Window
	// deadline is the window's, by the engine's clock.
	deadline time.Time
	// jobs is the number of loaded jobs.
	jobs int
	// queue has the jobs that are not in flight, the next due first.
	queue    []queued
	inFlight int
	results  chan *result
	// unrecorded holds finished attempts that are not yet written. recordings are the writes
	// under way, the oldest first; their results arrive on recorded.
	unrecorded []*result
	recordings []*recording
	recorded   chan recorded
	ended      []hook.Delivery
	// blocked deliveries are outstanding and can't be sent now: another run may be sending
	// them, or their last attempt is not recorded yet. unreadable ones can't be sent because no
	// key opens their webhook's secrets.
	blocked, unreadable []hook.Delivery
	// deferred deliveries wait for their webhooks. throttled jobs wait a little while in this
	// run. stillDeferred are deliveries that a drain could not send either.
	deferred      []hook.Delivery
	throttled     map[hook.WebhookID]*throttled
	stillDeferred []hook.Delivery
	// draining says that this run sends deferred deliveries; refill loads more of them.
	draining bool
	refill   *refill
	// attempts counts the requests that were made, answered those that got a response, whatever
	// its status.
	attempts, answered int
	// unfunded jobs were allowed by the limiter and have to get memory. parts is the memory of
	// the large payloads in flight, share that of the jobs.
	unfunded []queued
	parts    parts
	share    *share
	// settled is called with each delivery that needs no further attempt of this run; nil if this
	// run makes later attempts too.
	settled func(hook.Delivery)
	// claim is this run's right to send at-most-once deliveries.
	claim hook.Claim
}

// queued is a job that is to be sent when it is due.
type queued struct {
	job *hook.Job
	due time.Time
	// sentBefore says that this run has sent the job before, so that it may be outdated.
	sentBefore bool
}

// result is the result of sending one job.
type result struct {
	job    *hook.Job
	record hook.Record
	// ended says that there was nothing left to send.
	ended bool
	// claimedElsewhere says that another run may be sending the delivery, deferred that it has
	// to wait for its webhook.
	claimedElsewhere, deferred bool
	err                        error
	// unfunded says that the job held no part of the quota for requests.
	unfunded bool
	// trips says that the webhook's breaker trips by this attempt.
	trips bool
}

func (e *Engine) newRun(w Window, jobs int, s *share) *run {
	r := &run{
		engine: e, window: w, jobs: jobs, deadline: e.now().Add(time.Until(w.deadline)),
		results: make(chan *result, min(jobs, e.concurrency)), queue: make([]queued, 0, jobs),
		throttled: map[hook.WebhookID]*throttled{}, recorded: make(chan recorded, maxRecordings), share: s,
	}
	rand.Read(r.claim[:]) // it never fails since Go 1.24
	return r
}

// admit queues jobs. It ends deliveries that must not be sent: their webhook was deleted or
// disabled after the accept, or they are at-most-once and a run that is gone may have sent
// them.
func (r *run) admit(ctx context.Context, jobs []hook.Job) error {
	canceled := map[string][]hook.DeliveryID{}
	var claimed []hook.Delivery
	now := r.engine.now()
	for i := range jobs {
		if r.engine.late.has(jobs[i].Delivery.ID) {
			r.blocked = append(r.blocked, jobs[i].Delivery)
			continue
		}
		if jobs[i].Delivery.State == hook.StateSending {
			claimed = append(claimed, jobs[i].Delivery)
			continue
		}
		if reason := jobs[i].Canceled(); reason != "" {
			canceled[reason] = append(canceled[reason], jobs[i].Delivery.ID)
			r.end(canceledDelivery(jobs[i].Delivery, reason))
			continue
		}
		if jobs[i].Err != nil {
			r.setUnreadable(ctx, &jobs[i])
			continue
		}
		if r.mustDefer(&jobs[i]) && jobs[i].DueIn <= 0 {
			r.deferJob(&jobs[i])
			continue
		}
		r.enqueue(queued{job: &jobs[i], due: now.Add(jobs[i].DueIn)})
	}
	for reason, ids := range canceled {
		if err := r.engine.store.CancelDeliveries(ctx, ids, reason); err != nil {
			return err
		}
	}
	if err := r.expireUnreadable(ctx); err != nil {
		return err
	}
	return r.dropLost(ctx, claimed)
}

// end takes in a delivery that needs no further attempt.
func (r *run) end(d hook.Delivery) {
	r.ended = append(r.ended, d)
	if r.settled != nil {
		r.settled(d)
	}
}

func canceledDelivery(d hook.Delivery, reason string) hook.Delivery {
	d.State, d.Error, d.NextAttemptAt = hook.StateCanceled, reason, nil
	return d
}

// enqueue queues a job behind the jobs that are due at the same time, as all of one accept
// are: so it is mostly an append, and the order is that of arrival.
func (r *run) enqueue(q queued) {
	at, _ := slices.BinarySearchFunc(r.queue, q.due, func(q queued, t time.Time) int {
		if q.due.After(t) {
			return 1
		}
		return -1
	})
	r.queue = slices.Insert(r.queue, at, q)
}

// loop sends jobs when they are due. It records results as they arrive, together with all that
// have arrived by then, while sending goes on. A job that becomes due while another is in
// flight is sent too, so that a slow receiver delays no other (S16). It ends when nothing is in
// flight; an error is a failure of Grapnel's own.
func (r *run) loop(ctx context.Context) error {
	var failure error
	for {
		more := failure == nil && ctx.Err() == nil && !r.window.IsStopping()
		if more {
			if failure = r.loadMore(ctx); failure == nil {
				r.startDue(ctx)
			}
		}
		r.startRecording(ctx)
		r.share.keep(r.jobs, r.jobs-len(r.ended)-len(r.deferred)-len(r.stillDeferred))
		if r.inFlight == 0 && len(r.recordings) == 0 && (!more || !r.dueSoon()) {
			return failure
		}
		if err := r.wait(ctx); err != nil && failure == nil {
			failure = err
		}
	}
}

// startDue starts the jobs that are due and can end before the activity must.
func (r *run) startDue(ctx context.Context) {
	now := r.engine.now()
	var atMostOnce []queued
	defer func() {
		if len(atMostOnce) > 0 {
			go r.sendAtMostOnce(ctx, atMostOnce)
		}
		if len(r.unfunded) > 0 {
			go r.fund(ctx, r.unfunded)
			r.unfunded = nil
		}
	}()
	r.startThrottled(ctx, now, &atMostOnce)
	for len(r.queue) > 0 && r.inFlight < r.engine.concurrency {
		next := r.queue[0]
		if next.due.After(now) {
			return
		}
		if r.inFlight+len(r.ended) > 0 && !r.fits(next, now) {
			return
		}
		r.queue = r.queue[1:]
		r.start(ctx, next, now, &atMostOnce)
	}
}

// fits reports whether an attempt that begins at a time would end before the activity must.
func (r *run) fits(q queued, at time.Time) bool {
	return at.Add(q.job.Webhook.Timeout + recordMargin).Before(r.deadline)
}

// throttledFits reports whether one of the throttled jobs could end in time.
func (r *run) throttledFits() bool {
	for _, t := range r.throttled {
		if r.fits(t.list[0], r.engine.now()) {
			return true
		}
	}
	return false
}

// finish gives back what a request held, and hands its result over to loop.
func (r *run) finish(res result) {
	var sent *hook.Attempt
	if res.err == nil && !res.ended && !res.claimedElsewhere && !res.deferred {
		sent = &res.record.Attempt
	}
	r.parts.end(res.job.Delivery.ID)
	if sent == nil && !res.unfunded {
		r.engine.budget.requests.give(requestBytes) // the part of an attempt is given back when it is recorded
	}
	res.trips = r.engine.limiter.leave(res.job.Delivery.WebhookID, res.job.PayloadSize, sent, r.engine.now())
	r.results <- &res
}

// mustDefer reports whether the job has to wait for its webhook: the webhook is held, or its
// endpoint is unavailable. A drain sends to an unavailable endpoint, to probe it.
func (r *run) mustDefer(job *hook.Job) bool {
	return job.Webhook.Held() || job.Webhook.TrippedAt != nil && !r.draining
}

// WorthWaiting is the time before a delivery is due that is waited for in a run: it covers the
// difference between Temporal's timers and the store's clock.
const WorthWaiting = 100 * time.Millisecond

// dueSoon reports whether waiting in this run is better than another run.
func (r *run) dueSoon() bool {
	if len(r.throttled) > 0 {
		return r.throttledFits()
	}
	return len(r.queue) > 0 && r.queue[0].due.Sub(r.engine.now()) <= WorthWaiting && r.fits(r.queue[0], r.engine.now())
}

// outstanding returns the deliveries that are left for the next run.
func (r *run) outstanding() []hook.Delivery {
	list := append(make([]hook.Delivery, 0, len(r.blocked)+len(r.unreadable)+len(r.queue)), r.blocked...)
	list = append(list, r.unreadable...)
	for i := range r.queue {
		list = append(list, r.queue[i].job.Delivery)
	}
	for _, t := range r.throttled {
		for i := range t.list {
			list = append(list, t.list[i].job.Delivery)
		}
	}
	return list
}

// cutShort reports whether the run has left a delivery that is due, because its worker stops
// or its context has ended.
func (r *run) cutShort(ctx context.Context) bool {
	return (r.window.IsStopping() || ctx.Err() != nil) && (len(r.queue) == 0 || r.nextIn() < StopRetry)
}

// nextIn returns the time until the next delivery is due. It is never zero, which Temporal
// would take as not set, and never longer than a receiver can ask for: Temporal does not bound
// it.
func (r *run) nextIn() time.Duration {
	return min(max(r.queue[0].due.Sub(r.engine.now()), time.Millisecond), hook.MaxRetryAfter)
}
