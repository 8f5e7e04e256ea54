package activities

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/hook"
)

// run is one activity's way through its deliveries.
type run struct {
	*Activities
	deadline time.Time
	// jobs is how many were loaded.
	jobs int
	// waiting are not in flight, the next due first.
	waiting  []waiting
	inFlight int
	results  chan *result
	// unrecorded are results that have come in; while recording, one batch of them is
	// being recorded, and recorded says what came of it.
	unrecorded []*result
	recording  bool
	recorded   chan recorded
	done       []hook.Delivery
	// held are outstanding and can't be sent now, because another run may be sending them,
	// or has, and its result is not recorded yet;
	// unreadable can't either, because no key opens their webhook's secrets.
	held, unreadable []hook.Delivery
	// parked wait for their webhooks, crowds for a little while here; left are those
	// that a drain could not send either.
	parked []hook.Delivery
	crowds map[hook.WebhookID]*crowd
	left   []hook.Delivery
	// draining says that this run sends what was parked; backlog loads more of it.
	draining bool
	backlog  *refill
	// attempts counts the requests that were recorded, answered those of them that got an
	// answer, whatever its status.
	attempts, answered int
	// unfunded were admitted, and have to get their part of the budget; parts are what
	// requests in flight have of it, and share what the jobs have.
	unfunded []waiting
	parts    parts
	share    *share
	// claim is this run's right to send at-most-once deliveries.
	claim hook.Claim
	// stops says when nothing new is begun.
	stops
}

type waiting struct {
	job *hook.Job
	due time.Time
	// again says that this run has sent it before, so that job may be outdated.
	again bool
}

type result struct {
	job    *hook.Job
	record hook.Record
	// ended says that there was nothing left to send.
	ended bool
	// held says that another run may be sending it, parked that its webhook is to be
	// waited for.
	held, parked bool
	err          error
	// unfunded says that it had no part of the budget for requests.
	unfunded bool
	// trips says that by this one the webhook's breaker trips.
	trips bool
}

func newRun(ctx context.Context, a *Activities, jobs int) *run {
	// The deadline is the process's clock's; now may be another.
	deadline := a.now().Add(time.Until(activity.GetInfo(ctx).Deadline))
	r := &run{
		Activities: a, jobs: jobs, deadline: deadline, results: make(chan *result, min(jobs, a.concurrency)), waiting: make([]waiting, 0, jobs),
		stops: a.stops(ctx), crowds: map[hook.WebhookID]*crowd{}, recorded: make(chan recorded, 1), share: &share{pool: a.budget.jobs},
	}
	rand.Read(r.claim[:]) // it never fails since Go 1.24
	return r
}

// admit ends what must not be sent, because its webhook went between the accept
// and now, or because it is at-most-once and may have been sent by a run that did
// not live to say so; it queues the rest.
func (r *run) admit(ctx context.Context, jobs []hook.Job) error {
	canceled := map[string][]hook.DeliveryID{}
	var claimed []hook.Delivery
	now := r.now()
	for i := range jobs {
		if r.late.has(jobs[i].Delivery.ID) {
			r.held = append(r.held, jobs[i].Delivery)
			continue
		}
		if jobs[i].Delivery.State == hook.StateSending {
			claimed = append(claimed, jobs[i].Delivery)
			continue
		}
		if reason := jobs[i].Canceled(); reason != "" {
			canceled[reason] = append(canceled[reason], jobs[i].Delivery.ID)
			r.done = append(r.done, canceledDelivery(jobs[i].Delivery, reason))
			continue
		}
		if jobs[i].Err != nil {
			r.unread(ctx, &jobs[i])
			continue
		}
		if r.waits(&jobs[i]) && jobs[i].DueIn <= 0 {
			r.park(&jobs[i])
			continue
		}
		r.enqueue(waiting{job: &jobs[i], due: now.Add(jobs[i].DueIn)})
	}
	for reason, ids := range canceled {
		if err := r.store.CancelDeliveries(ctx, ids, reason); err != nil {
			return err
		}
	}
	if err := r.expire(ctx); err != nil {
		return err
	}
	return r.dropLost(ctx, claimed)
}

func canceledDelivery(d hook.Delivery, reason string) hook.Delivery {
	d.State, d.Error, d.NextAttemptAt = hook.StateCanceled, reason, nil
	return d
}

func (r *run) enqueue(w waiting) {
	// Behind those that are due at the same time, as all of one accept are: so it is an
	// append mostly, and first come is first served.
	at, _ := slices.BinarySearchFunc(r.waiting, w.due, func(w waiting, t time.Time) int {
		if w.due.After(t) {
			return 1
		}
		return -1
	})
	r.waiting = slices.Insert(r.waiting, at, w)
}

// loop sends what is due and records results as they come, each record taking
// along all that have come in by then, while sending goes on. A delivery that becomes
// due while another is still in flight is sent too, so that a slow receiver delays
// nobody (S16). It ends when nothing is in flight; the error is ours.
func (r *run) loop(ctx context.Context) error {
	var failure error
	for {
		more := failure == nil && ctx.Err() == nil && !r.isStopping()
		if more {
			if failure = r.refill(ctx); failure == nil {
				r.startDue(ctx)
			}
		}
		r.startRecording(ctx)
		r.share.keep(r.jobs, r.jobs-len(r.done)-len(r.parked)-len(r.left))
		if r.inFlight == 0 && !r.recording && (!more || !r.dueSoon()) {
			return failure
		}
		if err := r.wait(ctx); err != nil && failure == nil {
			failure = err
		}
	}
}

// startDue puts in flight what is due and can end before the activity must.
func (r *run) startDue(ctx context.Context) {
	now := r.now()
	var once []waiting
	defer func() {
		if len(once) > 0 {
			go r.sendOnce(ctx, once)
		}
		if len(r.unfunded) > 0 {
			go r.fund(ctx, r.unfunded)
			r.unfunded = nil
		}
	}()
	r.readmit(ctx, now, &once)
	for len(r.waiting) > 0 && r.inFlight < r.concurrency {
		next := r.waiting[0]
		if next.due.After(now) {
			return
		}
		if r.inFlight+len(r.done) > 0 && !r.fits(next, now) {
			return
		}
		r.waiting = r.waiting[1:]
		r.begin(ctx, next, now, &once)
	}
}

// fits reports whether an attempt begun at a time would end before the activity must.
func (r *run) fits(w waiting, at time.Time) bool {
	return at.Add(w.job.Webhook.Timeout + recordMargin).Before(r.deadline)
}

// crowdFits reports whether some of what waits for a place could end in time.
func (r *run) crowdFits() bool {
	for _, c := range r.crowds {
		if r.fits(c.list[0], r.now()) {
			return true
		}
	}
	return false
}

// came hands a result over to the loop, and gives its place back.
func (r *run) came(res result) {
	var sent *hook.Attempt
	if res.err == nil && !res.ended && !res.held && !res.parked {
		sent = &res.record.Attempt
	}
	r.parts.end(res.job.Delivery.ID)
	if sent == nil && !res.unfunded {
		r.budget.requests.give(requestBytes) // the others when they are recorded
	}
	res.trips = r.gates.leave(res.job.Delivery.WebhookID, res.job.PayloadSize, sent, r.now())
	r.results <- &res
}

// staleAfter is how long a delivery may be trusted to be as it was loaded. Its webhook is
// trusted for less: see looks.
const staleAfter = time.Second

// sendNext makes the next attempt.
func (r *run) sendNext(ctx context.Context, w waiting) result {
	job, ended, err := r.fresh(ctx, w)
	switch {
	case err != nil || ended:
		return result{job: job, ended: ended, err: err}
	case r.waits(job):
		return result{job: job, parked: true}
	}
	return r.attempt(ctx, job, false)
}

// waits reports whether the job's webhook is to be waited for: it is paused, or its endpoint
// unavailable, of which a drain finds out by sending.
func (r *run) waits(job *hook.Job) bool {
	return job.Webhook.PausedAt != nil || job.Webhook.TrippedAt != nil && !r.draining
}

// fresh is the job as it is to be sent now. What this run has sent before, or
// loaded a while ago, and what was loaded of a webhook that has changed since, is loaded
// anew (S15); then there may be nothing left to send.
func (r *run) fresh(ctx context.Context, w waiting) (job *hook.Job, ended bool, err error) {
	job = w.job
	anew := w.again || r.now().Sub(job.ReadAt) >= staleAfter
	for range mostLooks {
		if anew {
			if job, ended, err = r.loadAnew(ctx, job); err != nil || ended {
				return job, ended, err
			}
		}
		holds, err := r.looks.hold(ctx, job.Webhook.ID, job.Webhook.Version, job.ReadAt)
		if err != nil || holds {
			return job, false, err
		}
		anew = true
	}
	return job, false, errMoving
}

// errMoving says that a webhook changes so fast that no request could be made for it.
var errMoving = hook.Unavailable("the webhook", errors.New("it has changed each time it was loaded"))

// loadAnew loads a job again, and cancels its delivery where its webhook has ended; ended
// says that there is nothing left to send. Together with an error it returns the job as it
// was, which still has its webhook.
func (a *Activities) loadAnew(ctx context.Context, old *hook.Job) (job *hook.Job, ended bool, err error) {
	loaded, err := a.lookup.Job(ctx, old.Delivery.ID)
	if err == nil {
		err = loaded.Err
	}
	if err != nil {
		return old, false, err
	}
	job = &loaded
	if reason := job.Canceled(); reason != "" && job.Delivery.Outstanding() {
		if err := a.store.CancelDeliveries(ctx, []hook.DeliveryID{job.Delivery.ID}, reason); err != nil {
			return old, false, err
		}
		job.Delivery = canceledDelivery(job.Delivery, reason)
	}
	return job, !job.Delivery.Outstanding(), nil
}

// dueSoon reports whether waiting here is better than another round through Temporal.
func (r *run) dueSoon() bool {
	if len(r.crowds) > 0 {
		return r.crowdFits()
	}
	return len(r.waiting) > 0 && r.waiting[0].due.Sub(r.now()) <= worthWaiting && r.fits(r.waiting[0], r.now())
}

// worthWaiting covers what Temporal's timers and the store's clock differ by.
const worthWaiting = 100 * time.Millisecond

// recordMargin is what is left for recording when the slowest request ends.
const recordMargin = 5 * time.Second

func (r *run) outstanding() []hook.Delivery {
	list := append(make([]hook.Delivery, 0, len(r.held)+len(r.unreadable)+len(r.waiting)), r.held...)
	list = append(list, r.unreadable...)
	for i := range r.waiting {
		list = append(list, r.waiting[i].job.Delivery)
	}
	for _, c := range r.crowds {
		for i := range c.list {
			list = append(list, c.list[i].job.Delivery)
		}
	}
	return list
}

// cutShort reports whether the run has left something that is due to another one, because
// its worker stops or its context has ended.
func (r *run) cutShort(ctx context.Context) bool {
	return (r.isStopping() || ctx.Err() != nil) && (len(r.waiting) == 0 || r.nextIn() < stopRetry)
}

// nextIn is how long it is until the next delivery is due; never zero, which
// Temporal would read as not set, and never longer than a receiver can ask for: Temporal
// does not bound it.
func (r *run) nextIn() time.Duration {
	return min(max(r.waiting[0].due.Sub(r.now()), time.Millisecond), hook.MaxRetryAfter)
}
