package delivery

import (
	"context"
	"slices"
	"time"

	"grapnel/internal/hook"
)

const (
	// recordingPatience is how long the results of other webhooks wait for a recording under way. One recording at a
	// time is the least work; but one that waits for a webhook's locked row must not delay the others.
	recordingPatience = 250 * time.Millisecond
	// maxRecordings bounds the recordings under way.
	maxRecordings = 8
)

// recording is a batch of results that is being recorded.
type recording struct {
	batch []*result
	began time.Time
}

// has reports whether the recording has a result of the webhook.
func (b *recording) has(id hook.WebhookID) bool {
	return slices.ContainsFunc(b.batch, func(res *result) bool { return res.job.Delivery.WebhookID == id })
}

// recorded is the outcome of a recording.
type recorded struct {
	*recording
	deliveries []hook.Delivery
	err        error
}

// wait waits for results, for the end of a recording, or for the time when a job becomes due,
// and takes them in. An error is a failure of Grapnel's own. With nothing in flight it ends
// with ctx.
func (r *run) wait(ctx context.Context) error {
	var due <-chan time.Time
	if len(r.queue) > 0 && r.inFlight < r.engine.concurrency && ctx.Err() == nil && r.fits(r.queue[0], r.engine.now()) {
		timer := time.NewTimer(max(r.queue[0].due.Sub(r.engine.now()), time.Millisecond))
		defer timer.Stop()
		due = timer.C
	}
	if len(r.throttled) > 0 && ctx.Err() == nil && !r.window.IsStopping() {
		timer := time.NewTimer(throttlePoll)
		defer timer.Stop()
		due = timer.C
	}
	var slow <-chan time.Time
	if wait := r.recordingWait(); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		slow = timer.C
	}
	var stopped <-chan struct{}
	if r.inFlight == 0 && len(r.recordings) == 0 {
		stopped = ctx.Done()
	}
	select {
	case res := <-r.results:
		failure := r.take(ctx, res)
		for {
			select {
			case next := <-r.results:
				if err := r.take(ctx, next); err != nil {
					failure = err
				}
			default:
				return failure
			}
		}
	case rec := <-r.recorded:
		r.recordings = slices.DeleteFunc(r.recordings, func(other *recording) bool { return other == rec.recording })
		return r.apply(&rec)
	case <-due:
	case <-slow:
	case <-stopped:
	}
	return nil
}

// take takes in one result. An error says that Grapnel could not send.
func (r *run) take(ctx context.Context, res *result) error {
	r.inFlight--
	switch {
	case res.err != nil:
		r.enqueue(queued{job: res.job, due: r.engine.now()})
		return res.err
	case res.ended:
		r.end(res.job.Delivery)
		return nil
	case res.claimedElsewhere:
		r.blocked = append(r.blocked, res.job.Delivery)
		return nil
	case res.deferred:
		r.deferJob(res.job)
		return nil
	}
	r.unrecorded = append(r.unrecorded, res)
	r.attempts++
	if res.record.Attempt.StatusCode != 0 {
		r.answered++
	}
	if res.trips {
		r.refill = nil
		r.engine.trip(ctx, res.job.Webhook.ID)
	}
	return nil
}

// startRecording records the results that have arrived, unless a recording is in progress: then they go into the next
// batch. When that takes long, the results of webhooks that it does not have are recorded beside it.
func (r *run) startRecording(ctx context.Context) {
	if len(r.unrecorded) == 0 || len(r.recordings) == maxRecordings || r.recordingWait() > 0 {
		return
	}
	batch, held := r.unrecorded, []*result(nil)
	if len(r.recordings) > 0 {
		batch = nil
		for _, res := range r.unrecorded {
			if r.isRecording(res.job.Delivery.WebhookID) {
				held = append(held, res)
			} else {
				batch = append(batch, res)
			}
		}
	}
	r.unrecorded = held
	if len(batch) == 0 {
		return
	}
	b := &recording{batch, time.Now()}
	r.recordings = append(r.recordings, b)
	records := make([]hook.Record, 0, len(batch))
	for _, res := range batch {
		records = append(records, res.record)
	}
	go func() {
		deliveries, err := r.engine.record(ctx, records)
		r.recorded <- recorded{b, deliveries, err}
	}()
}

// isRecording reports whether a result of the webhook is being recorded.
func (r *run) isRecording(id hook.WebhookID) bool {
	return slices.ContainsFunc(r.recordings, func(b *recording) bool { return b.has(id) })
}

// recordingWait returns how long the results that have arrived wait for the recording under way; 0 or less if they
// don't.
func (r *run) recordingWait() time.Duration {
	if len(r.unrecorded) == 0 || len(r.recordings) == 0 {
		return 0
	}
	return recordingPatience - time.Since(r.recordings[len(r.recordings)-1].began)
}

// apply takes in recorded deliveries, and queues those with another attempt to come.
func (r *run) apply(rec *recorded) error {
	r.engine.budget.requests.give(int64(len(rec.batch)) * requestBytes)
	if rec.err != nil {
		for _, res := range rec.batch {
			r.enqueue(queued{job: res.job, due: r.engine.now()})
		}
		return rec.err
	}
	byID := make(map[hook.DeliveryID]*result, len(rec.batch))
	for _, res := range rec.batch {
		byID[res.job.Delivery.ID] = res
	}
	for _, d := range rec.deliveries {
		if !d.Outstanding() || r.settled != nil {
			r.end(d)
			byID[d.ID].job.Event.Data = nil // its memory is given back
			continue
		}
		res := byID[d.ID]
		job := *res.job
		job.Delivery = d
		a := &res.record.Attempt
		r.enqueue(queued{job: &job, due: a.StartedAt.Add(a.Duration + res.record.Verdict.RetryIn), sentBefore: true})
	}
	return nil
}
