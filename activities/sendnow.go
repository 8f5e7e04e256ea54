package activities

import (
	"context"
	"crypto/rand"

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
	if err := a.beginTest(ctx, &job); err != nil {
		return Outcome{}, a.ours(ctx, "begin test", err)
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

// beginTest sees to it that a test which nobody has dropped yet is not dropped any more.
func (a *Activities) beginTest(ctx context.Context, job *hook.Job) error {
	if !job.Delivery.Test || job.Delivery.Attempts > 0 {
		return nil
	}
	var claim hook.Claim
	rand.Read(claim[:]) // it never fails since Go 1.24
	begun, err := a.store.BeginTest(ctx, job.Delivery.ID, claim)
	if err == nil && !begun {
		err = hook.NotFound("delivery")
	}
	return err
}

// sendByHand makes the attempt. The first sending of a test is its only scheduled
// one; that of a message takes the place of its only scheduled one, if that has
// not begun: it must not be sent a second time unless a person asks again (M7).
func (a *Activities) sendByHand(ctx context.Context, job hook.Job) (result, error) {
	a.gates.enterByHand(job.Webhook.ID, a.now())
	defer a.gates.leave(job.Webhook.ID, nil, a.now())
	if !job.AtMostOnce() || !job.Delivery.Outstanding() {
		return a.attempt(ctx, &job, !job.Delivery.Test || job.Delivery.Attempts > 0), nil
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
	return a.settle(ctx, a.attempt(ctx, &job, false), claim), nil
}
