package delivery

import (
	"context"
	"crypto/rand"
	"errors"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/tracing"
)

// attempt sends one request and judges the attempt. manual says that a person has asked for
// it, outside the schedule.
func (e *Engine) attempt(ctx context.Context, job *hook.Job, manual bool) result {
	if job.PayloadSize > 0 {
		return result{job: job, err: errors.Join(hook.ErrNotSent, errNoPayload)}
	}
	ctx, end := e.tracer.Attempt(ctx, job, manual || job.Delivery.Test)
	if job.Webhook.TraceContext {
		traced := *job
		traced.TraceParent = tracing.Parent(ctx)
		job = &traced
	}
	e.metrics.Sending(1)
	sent, err := e.sender.Send(ctx, payload.Request(job, e.now()))
	e.metrics.Sending(-1)
	end(&sent, err)
	if err != nil {
		e.metrics.NotSent()
		return result{job: job, err: err}
	}
	rand.Read(sent.ID[:]) // it never fails since Go 1.24
	sent.DeliveryID, sent.Number, sent.Manual = job.Delivery.ID, job.Delivery.Attempts+1, manual
	sent.RequestHeaders = payload.RedactHeaders(job.Webhook, sent.RequestHeaders)
	payload.RedactEchoes(job.Webhook, &sent)
	record := hook.Conclude(hook.Policy{Schedule: e.schedule, DisableOnFinal: e.disableOnFinal}, job, sent)
	e.metrics.Attempted(job, &sent)
	e.logAttempt(ctx, job, &sent, record.Verdict)
	record.Attempt.Conceal() // after the log, which the operator reads
	return result{job: job, record: record}
}

// attemptWith is attempt with the payload that was loaded for the delivery. The result does
// not hold the payload.
func (e *Engine) attemptWith(ctx context.Context, job *hook.Job, p part, manual bool) result {
	if job.PayloadSize == 0 {
		return e.attempt(ctx, job, manual)
	}
	if p.largeData == nil || len(p.data) != job.PayloadSize {
		return result{job: job, err: errors.Join(hook.ErrNotSent, errNoPayload)}
	}
	whole := *job
	whole.Event.Data, whole.PayloadSize = p.data, 0
	sent := e.attempt(ctx, &whole, manual)
	sent.job = job
	return sent
}
