package activities

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/tracing"
)

// attempt sends one request and judges what came of it.
func (a *Activities) attempt(ctx context.Context, job *hook.Job, manual bool) result {
	if job.PayloadSize > 0 {
		return result{job: job, err: errors.Join(hook.ErrNotSent, errNoPayload)}
	}
	ctx, end := a.tracer.Attempt(ctx, job, manual || job.Delivery.Test)
	if job.Webhook.TraceContext {
		traced := *job
		traced.TraceParent = tracing.Parent(ctx)
		job = &traced
	}
	a.metrics.Sending(1)
	sent, err := a.sender.Send(ctx, payload.Request(job, a.now()))
	a.metrics.Sending(-1)
	end(&sent, err)
	if err != nil {
		a.metrics.NotSent()
		return result{job: job, err: err}
	}
	rand.Read(sent.ID[:]) // it never fails since Go 1.24
	sent.DeliveryID, sent.Number, sent.Manual = job.Delivery.ID, job.Delivery.Attempts+1, manual
	sent.RequestHeaders = payload.RedactHeaders(job.Webhook, sent.RequestHeaders)
	payload.RedactEchoes(job.Webhook, &sent)
	record := hook.Conclude(hook.Policy{Schedule: a.schedule, DisableOnFinal: a.strict}, job, sent)
	a.metrics.Attempted(job, &sent)
	a.logAttempt(ctx, job, &sent, record.Verdict)
	record.Attempt.Conceal() // the log for the operator has it
	return result{job: job, record: record}
}

// recordUntil records, again and again while the store is away, for as long as
// the activity may run: the requests were made, and what is not recorded will be
// sent once more. What is left then is recorded late. Recording twice is safe.
func (a *Activities) recordUntil(ctx context.Context, records []hook.Record) (deliveries []hook.Delivery, err error) {
	// A worker that is stopped has lost its context but not what it sent.
	until := time.Now().Add(recordMargin)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-time.Second).After(until) {
		until = deadline.Add(-time.Second)
	}
	write, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	err = a.insist(write, "record attempts", len(records), func() error {
		recorded, err := a.store.Record(write, records)
		a.dispatch(recorded.Starts)
		deliveries = recorded.Deliveries
		return err
	})
	if err != nil && hook.KindOf(err) == hook.KindUnavailable {
		a.recordLate(ctx, records)
	}
	return deliveries, err
}

// insistAfter is how long insist leaves the store alone at least, and insistJitter what may
// be added: what has failed together must not come again together.
const (
	insistAfter  = 250 * time.Millisecond
	insistJitter = 500 * time.Millisecond
)

// insist does something with the store again and again while that is away, until
// ctx ends. It must be safe to repeat.
func (a *Activities) insist(ctx context.Context, doing string, n int, do func() error) error {
	for {
		err := do()
		if err == nil || hook.KindOf(err) != hook.KindUnavailable || ctx.Err() != nil {
			return err
		}
		a.log.WarnContext(ctx, "again: "+doing, slog.Int("deliveries", n), slog.Any("error", err))
		pause := time.NewTimer(insistAfter + a.jitter(insistJitter))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}
