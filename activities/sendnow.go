package activities

import (
	"context"
	"crypto/rand"
	"errors"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// SendNow makes one attempt of one delivery, whatever its state, and leaves the
// rest of its schedule alone (S11, S13). It is never repeated by Temporal.
func (a *Activities) SendNow(ctx context.Context, in contract.SendNowInput) (contract.Outcome, error) {
	job, doing, err := a.loadByHand(ctx, in.DeliveryID)
	if err != nil {
		return contract.Outcome{}, a.ours(ctx, doing, err)
	}
	sent, doing, err := a.sendByHand(ctx, job)
	switch {
	case hook.KindOf(err) == hook.KindRateLimited:
		return contract.Outcome{}, limited(err)
	case err != nil:
		return contract.Outcome{}, a.ours(ctx, doing, err)
	case sent.err != nil:
		return contract.Outcome{}, a.ours(ctx, "send", sent.err)
	case sent.ended:
		return contract.OutcomeOf(&sent.job.Delivery), nil
	}
	deliveries, err := a.recordUntil(ctx, []hook.Record{sent.record})
	if err != nil {
		return contract.Outcome{}, a.ours(ctx, "record attempt", err)
	}
	if len(deliveries) == 0 {
		return contract.Outcome{}, a.ours(ctx, "record attempt", hook.NotFound("delivery"))
	}
	return contract.OutcomeOf(&deliveries[0]), nil
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

// loadByHand loads what a person wants to be sent. A delivery that was revoked, whose row
// does not say so yet, is canceled first: by hand it may be sent as any that has ended.
func (a *Activities) loadByHand(ctx context.Context, id hook.DeliveryID) (job *hook.Job, doing string, err error) {
	loaded, err := a.lookup.Job(ctx, id)
	if err == nil {
		err = loaded.Err
	}
	if err != nil {
		return nil, "load delivery", err
	}
	job = &loaded
	reason := job.Canceled()
	switch {
	case reason == "":
	case job.Webhook == nil || !job.Webhook.Active:
		return nil, "send", &hook.Error{Kind: hook.KindPrecondition, Message: reason}
	case job.Delivery.Outstanding():
		if err := a.store.CancelDeliveries(ctx, []hook.DeliveryID{id}, reason); err != nil {
			return nil, "end delivery", err
		}
		job.Delivery = canceledDelivery(job.Delivery, reason)
	}
	return job, "", nil
}

// sendByHand makes the attempt when the webhook's limits have a place for it. Its
// result counts for the breaker, as that of any attempt. A test begins only with the place; before
// that it can be dropped.
func (a *Activities) sendByHand(ctx context.Context, job *hook.Job) (sent result, doing string, err error) {
	w, size := job.Webhook, job.PayloadSize
	waited, err := a.enterByHand(ctx, w, size)
	if err != nil {
		return result{}, "send", err
	}
	defer func() {
		var made *hook.Attempt
		if err == nil && sent.err == nil && !sent.ended {
			made = &sent.record.Attempt
		}
		if a.gates.leaveByHand(w.ID, size, made, a.now()) {
			a.trip(ctx, w.ID)
		}
	}()
	if waited {
		if job, doing, err = a.loadByHand(ctx, job.Delivery.ID); err != nil {
			return result{}, doing, err
		}
	}
	if err := a.beginTest(ctx, job); err != nil {
		return result{}, "begin test", err
	}
	sent, err = a.sendAdmitted(ctx, job)
	return sent, "send", err
}

// sendAdmitted sends to the webhook as it is now. The first sending of a test is its only scheduled
// one; that of a message takes the place of its only scheduled one, if that has
// not begun: it must not be sent a second time unless a person asks again (M7).
func (a *Activities) sendAdmitted(ctx context.Context, job *hook.Job) (result, error) {
	payload, err := a.payloadByHand(ctx, job)
	if err != nil {
		return result{}, err
	}
	defer payload.end()
	once := job.AtMostOnce() && job.Delivery.Outstanding()
	var claim hook.Claim
	rand.Read(claim[:]) // it never fails since Go 1.24
	ids := []hook.DeliveryID{job.Delivery.ID}
	for range mostLooks {
		claimed, read := !once, job.ReadAt
		if once {
			read = a.now()
			list, err := a.store.ClaimDeliveries(ctx, []hook.Wanted{{ID: ids[0], Version: job.Webhook.Version}}, claim)
			if err != nil {
				a.release(ctx, ids, claim) // nobody knows whether it is claimed
				return result{}, err
			}
			claimed = len(list) > 0
		}
		if claimed {
			holds, err := a.looks.hold(ctx, job.Webhook.ID, job.Webhook.Version, read)
			switch {
			case err == nil && holds && once:
				return a.settle(ctx, a.attemptWith(ctx, job, payload, false), claim), nil
			case err == nil && holds:
				return a.attemptWith(ctx, job, payload, !job.Delivery.Test || job.Delivery.Attempts > 0), nil
			case once:
				a.release(ctx, ids, claim)
			}
			if err != nil {
				return result{}, err
			}
		}
		var err error
		if job, _, err = a.loadByHand(ctx, ids[0]); err != nil {
			return result{}, err
		}
		if once && job.Delivery.State != hook.StatePending {
			return result{}, &hook.Error{Kind: hook.KindConflict, Message: "the message is being sent"}
		}
	}
	return result{}, errMoving
}

// payloadByHand loads a large payload, when there is room for it.
func (a *Activities) payloadByHand(ctx context.Context, job *hook.Job) (part, error) {
	if job.PayloadSize == 0 {
		return part{}, nil
	}
	before, cancel := context.WithDeadline(ctx, activity.GetInfo(ctx).Deadline.Add(-job.Webhook.Timeout-recordMargin))
	defer cancel()
	defer a.stops(ctx).whenStopping(cancel)()
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
