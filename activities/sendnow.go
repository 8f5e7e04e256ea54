package activities

import (
	"context"
	"crypto/rand"
	"errors"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/hook"
)

// SendNowInput names a delivery to be sent by hand.
type SendNowInput struct {
	DeliveryID hook.DeliveryID `json:"delivery_id"`
}

// SendNow makes one attempt of one delivery, whatever its state, and leaves the
// rest of its schedule alone (S11, S13). It is never repeated by Temporal.
func (a *Activities) SendNow(ctx context.Context, in SendNowInput) (Outcome, error) {
	job, err := a.lookup.Job(ctx, in.DeliveryID)
	if err != nil {
		return Outcome{}, a.ours(ctx, "load delivery", err)
	}
	if job.Err != nil {
		return Outcome{}, a.ours(ctx, "load delivery", job.Err)
	}
	if reason := job.Canceled(); reason != "" {
		return Outcome{}, a.ours(ctx, "send", &hook.Error{Kind: hook.KindPrecondition, Message: reason})
	}
	sent, err := a.sendByHand(ctx, job)
	switch {
	case err != nil:
		return Outcome{}, a.ours(ctx, "send", err)
	case sent.err != nil:
		return Outcome{}, a.ours(ctx, "send", sent.err)
	case sent.ended:
		return outcomeOf(&sent.job.Delivery), nil
	}
	deliveries, err := a.recordUntil(ctx, []hook.Record{sent.record})
	if err != nil {
		return Outcome{}, a.ours(ctx, "record attempt", err)
	}
	if len(deliveries) == 0 {
		return Outcome{}, a.ours(ctx, "record attempt", hook.NotFound("delivery"))
	}
	return outcomeOf(&deliveries[0]), nil
}

// sendByHand makes the attempt. The first sending of a test is its only scheduled
// one; that of a message takes the place of its only scheduled one, if that has
// not begun: it must not be sent a second time unless a person asks again (M7).
func (a *Activities) sendByHand(ctx context.Context, job hook.Job) (result, error) {
	a.gates.enterByHand(job.Webhook.ID, a.now())
	defer a.gates.leave(job.Webhook.ID, 0, nil, a.now())
	payload, err := a.payloadByHand(ctx, &job)
	if err != nil {
		return result{}, err
	}
	defer payload.end()
	if !job.AtMostOnce() || !job.Delivery.Outstanding() {
		return a.attemptWith(ctx, &job, payload, !job.Delivery.Test || job.Delivery.Attempts > 0), nil
	}
	var claim hook.Claim
	rand.Read(claim[:]) // it never fails since Go 1.24
	claimed, err := a.store.ClaimDeliveries(ctx, []hook.DeliveryID{job.Delivery.ID}, claim)
	if err != nil {
		return result{}, err
	}
	if len(claimed) == 0 {
		return result{}, &hook.Error{Kind: hook.KindConflict, Message: "the message is being sent"}
	}
	return a.settle(ctx, a.attemptWith(ctx, &job, payload, false), claim), nil
}

// payloadByHand loads a large payload, when there is room for it.
func (a *Activities) payloadByHand(ctx context.Context, job *hook.Job) (part, error) {
	if job.PayloadSize == 0 {
		return part{}, nil
	}
	before, cancel := context.WithDeadline(ctx, activity.GetInfo(ctx).Deadline.Add(-job.Webhook.Timeout-recordMargin))
	defer cancel()
	defer whenClosed(activity.GetWorkerStopChannel(ctx), cancel)()
	p, err := a.budget.takePayload(before, job.PayloadSize)
	if err != nil {
		return part{}, hook.Unavailable("the worker's memory", errors.Join(hook.ErrNotSent, errMemory))
	}
	if err := a.loadPayloads(before, map[hook.EventID]part{job.Event.ID: p}); err != nil {
		p.end()
		return part{}, err
	}
	return p, nil
}
