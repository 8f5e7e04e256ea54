package activities

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

// recorded is what came of recording a batch of results.
type recorded struct {
	batch      []*result
	deliveries []hook.Delivery
	err        error
}

// wait takes in what has come: results, what was recorded, or the time when something
// becomes due; the error is ours. With nothing in flight it ends with ctx.
func (r *run) wait(ctx context.Context) error {
	var due <-chan time.Time
	if len(r.waiting) > 0 && r.inFlight < r.concurrency && ctx.Err() == nil && r.fits(r.waiting[0], r.now()) {
		timer := time.NewTimer(max(r.waiting[0].due.Sub(r.now()), time.Millisecond))
		defer timer.Stop()
		due = timer.C
	}
	if len(r.crowds) > 0 && ctx.Err() == nil && !r.isStopping() {
		timer := time.NewTimer(crowdLook)
		defer timer.Stop()
		due = timer.C
	}
	var stopped <-chan struct{}
	if r.inFlight == 0 && !r.recording {
		stopped = ctx.Done()
	}
	select {
	case first := <-r.results:
		failure := r.took(ctx, first)
		for {
			select {
			case next := <-r.results:
				if err := r.took(ctx, next); err != nil {
					failure = err
				}
			default:
				return failure
			}
		}
	case rec := <-r.recorded:
		r.recording = false
		return r.apply(&rec)
	case <-due:
	case <-stopped:
	}
	return nil
}

// took takes in one result; the error says that we could not send.
func (r *run) took(ctx context.Context, res *result) error {
	r.inFlight--
	switch {
	case res.err != nil:
		r.enqueue(waiting{job: res.job, due: r.now()})
		return res.err
	case res.ended:
		r.done = append(r.done, res.job.Delivery)
		return nil
	case res.held:
		r.held = append(r.held, res.job.Delivery)
		return nil
	case res.parked:
		r.park(res.job)
		return nil
	}
	r.unrecorded = append(r.unrecorded, res)
	r.attempts++
	if res.record.Attempt.StatusCode != 0 {
		r.answered++
	}
	if res.trips {
		r.backlog = nil
		r.trip(ctx, res.job.Webhook.ID)
	}
	return nil
}

// startRecording records what has come in, unless some is being recorded: what comes
// meanwhile goes into the next batch.
func (r *run) startRecording(ctx context.Context) {
	if r.recording || len(r.unrecorded) == 0 {
		return
	}
	batch := r.unrecorded
	r.unrecorded, r.recording = nil, true
	records := make([]hook.Record, 0, len(batch))
	for _, res := range batch {
		records = append(records, res.record)
	}
	go func() {
		deliveries, err := r.recordUntil(ctx, records)
		r.recorded <- recorded{batch, deliveries, err}
	}()
}

// apply queues what is to be tried again.
func (r *run) apply(rec *recorded) error {
	r.budget.requests.give(int64(len(rec.batch)) * requestBytes)
	if rec.err != nil {
		for _, res := range rec.batch {
			r.enqueue(waiting{job: res.job, due: r.now()})
		}
		return rec.err
	}
	byID := make(map[hook.DeliveryID]*result, len(rec.batch))
	for _, res := range rec.batch {
		byID[res.job.Delivery.ID] = res
	}
	for _, d := range rec.deliveries {
		if !d.Outstanding() {
			r.done = append(r.done, d)
			byID[d.ID].job.Event.Data = nil // its room is given back
			continue
		}
		res := byID[d.ID]
		job := *res.job
		job.Delivery = d
		a := &res.record.Attempt
		r.enqueue(waiting{job: &job, due: a.StartedAt.Add(a.Duration + res.record.Verdict.RetryIn), again: true})
	}
	return nil
}
