package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// Requests by hand share the webhook's limits with its events. They wait for a place only for
// a moment, because a person waits for them.

const (
	// byHandPatience is how long a request by hand waits for a place.
	byHandPatience = 3 * time.Second
	// ByHandRetry is the time after which to ask again if there was no place.
	ByHandRetry = time.Second
)

// SendNow makes one attempt of one delivery in any state, and leaves the rest of its schedule
// as it is (S11, S13). It returns the delivery as it is then. If the webhook is over a limit,
// the error is of kind rate limited, with a LimitReason.
func (e *Engine) SendNow(ctx context.Context, w Window, id hook.DeliveryID) (hook.Delivery, error) {
	job, err := e.loadByHand(ctx, id)
	if err != nil {
		return hook.Delivery{}, err
	}
	sent, err := e.sendByHand(ctx, w, job)
	switch {
	case err != nil:
		return hook.Delivery{}, err
	case sent.err != nil:
		return hook.Delivery{}, &StepError{"send", sent.err}
	case sent.ended:
		return sent.job.Delivery, nil
	}
	deliveries, err := e.record(ctx, []hook.Record{sent.record})
	if err == nil && len(deliveries) == 0 {
		err = hook.NotFound("delivery")
	}
	if err != nil {
		return hook.Delivery{}, &StepError{"record attempt", err}
	}
	return deliveries[0], nil
}

// loadByHand loads a delivery that a person wants to be sent. It first cancels a revoked
// delivery whose row is still outstanding: by hand it may be sent like any that has ended.
func (e *Engine) loadByHand(ctx context.Context, id hook.DeliveryID) (*hook.Job, error) {
	job, err := e.lookup.Job(ctx, id)
	if err == nil {
		err = job.Err
	}
	if err != nil {
		return nil, &StepError{"load delivery", err}
	}
	reason := job.Canceled()
	switch {
	case reason == "":
	case job.Webhook == nil || !job.Webhook.Active:
		return nil, &StepError{"send", &hook.Error{Kind: hook.KindPrecondition, Message: reason}}
	case job.Delivery.Outstanding():
		if err := e.store.CancelDeliveries(ctx, []hook.DeliveryID{id}, reason); err != nil {
			return nil, &StepError{"end delivery", err}
		}
		job.Delivery = canceledDelivery(job.Delivery, reason)
	}
	if job.Webhook.SuspendedAt != nil { // by hand, too, nothing is sent for a suspended tenant (K8)
		return nil, &StepError{"send", hook.Suspended()}
	}
	return &job, nil
}

// sendByHand makes the attempt when the webhook's limits allow it. Its result counts for the
// breaker like any other. A test begins only then; until then it can be dropped.
func (e *Engine) sendByHand(ctx context.Context, w Window, job *hook.Job) (sent result, err error) {
	webhook, size := job.Webhook, job.PayloadSize
	waited, err := e.enterByHand(ctx, w, webhook, size)
	if err != nil {
		return result{}, &StepError{"send", err}
	}
	defer func() {
		var made *hook.Attempt
		if err == nil && sent.err == nil && !sent.ended {
			made = &sent.record.Attempt
		}
		if e.limiter.leaveByHand(webhook.ID, size, made, e.now()) {
			e.trip(ctx, webhook.ID)
		}
	}()
	if waited {
		if job, err = e.loadByHand(ctx, job.Delivery.ID); err != nil {
			return result{}, err
		}
	}
	if err := e.beginTest(ctx, job); err != nil {
		return result{}, &StepError{"begin test", err}
	}
	if sent, err = e.sendAllowed(ctx, w, job); err != nil {
		return sent, &StepError{"send", err}
	}
	return sent, nil
}

// enterByHand waits for a place among the webhook's requests. The error is of kind rate
// limited if there was none. waited says that the place was not free at once.
func (e *Engine) enterByHand(ctx context.Context, w Window, webhook *hook.Webhook, payload int) (waited bool, err error) {
	before, cancel := context.WithTimeout(ctx, byHandPatience)
	defer cancel()
	defer w.whenStopping(cancel)()
	for {
		reason := e.limiter.enterByHand(webhook, payload, e.now())
		if reason == "" {
			return waited, nil
		}
		waited = true
		if wait.For(before, throttlePoll) == nil {
			continue
		}
		switch {
		case ctx.Err() != nil:
			return waited, errors.Join(hook.ErrNotSent, context.Cause(ctx))
		case w.IsStopping():
			return waited, errors.Join(hook.ErrNotSent, ErrStopping)
		}
		return waited, &hook.Error{Kind: hook.KindRateLimited, Message: limitText(reason), RetryAfter: ByHandRetry, Err: limitReason(reason)}
	}
}

func limitText(reason hook.WaitReason) string {
	switch reason {
	case hook.WaitRate:
		return "the webhook is at its rate_limit, which tests and retries by hand share"
	case hook.WaitUnavailable:
		return "the endpoint is unavailable, and another request by hand is just asking it"
	case hook.WaitInFlight, hook.WaitPaused, hook.WaitSuspended:
	}
	return "the webhook has as many requests in flight as it may have, which tests and retries by hand share"
}

// beginTest marks a test as being sent, so that it is not dropped any more. A test that was
// dropped is not found.
func (e *Engine) beginTest(ctx context.Context, job *hook.Job) error {
	if !job.Delivery.Test || job.Delivery.Attempts > 0 {
		return nil
	}
	var claim hook.Claim
	rand.Read(claim[:]) // it never fails since Go 1.24
	begun, err := e.store.BeginTest(ctx, job.Delivery.ID, claim)
	if err == nil && !begun {
		err = hook.NotFound("delivery")
	}
	return err
}

// sendAllowed sends to the webhook as it is now. The first attempt of a test is its only
// scheduled one. An attempt of a message takes the place of its only scheduled one, if that
// has not begun: the message must not be sent again unless a person asks again (M7).
func (e *Engine) sendAllowed(ctx context.Context, w Window, job *hook.Job) (result, error) {
	payload, err := e.payloadByHand(ctx, w, job)
	if err != nil {
		return result{}, err
	}
	defer payload.end()
	atMostOnce := job.AtMostOnce() && job.Delivery.Outstanding()
	var claim hook.Claim
	rand.Read(claim[:]) // it never fails since Go 1.24
	ids := []hook.DeliveryID{job.Delivery.ID}
	for range maxChecks {
		claimed, read := !atMostOnce, job.ReadAt
		if atMostOnce {
			read = e.now()
			list, err := e.store.ClaimDeliveries(ctx, []hook.Wanted{{ID: ids[0], Version: job.Webhook.Version}}, claim)
			if err != nil {
				e.release(ctx, ids, claim) // nobody knows whether it is claimed
				return result{}, err
			}
			claimed = len(list) > 0
		}
		if claimed {
			holds, err := e.versions.holds(ctx, job.Webhook.ID, job.Webhook.Version, read)
			switch {
			case err == nil && holds && atMostOnce:
				return e.settle(ctx, e.attemptWith(ctx, job, payload, false), claim), nil
			case err == nil && holds:
				return e.attemptWith(ctx, job, payload, !job.Delivery.Test || job.Delivery.Attempts > 0), nil
			case atMostOnce:
				e.release(ctx, ids, claim)
			}
			if err != nil {
				return result{}, err
			}
		}
		var err error
		if job, err = e.loadByHand(ctx, ids[0]); err != nil {
			return result{}, err
		}
		if atMostOnce && job.Delivery.State != hook.StatePending {
			return result{}, &hook.Error{Kind: hook.KindConflict, Message: "the message is being sent"}
		}
	}
	return result{}, errChanging
}

// payloadByHand loads a large payload, when there is memory for it.
func (e *Engine) payloadByHand(ctx context.Context, w Window, job *hook.Job) (part, error) {
	if job.PayloadSize == 0 {
		return part{}, nil
	}
	before, cancel := context.WithDeadline(ctx, w.deadline.Add(-job.Webhook.Timeout-recordMargin))
	defer cancel()
	defer w.whenStopping(cancel)()
	p, err := e.budget.takePayload(before, job.PayloadSize)
	if err != nil {
		return part{}, hook.Unavailable("the worker's memory", errors.Join(hook.ErrNotSent, ErrMemory))
	}
	if err := e.loadPayloads(before, map[hook.EventID]part{job.Event.ID: p}); err != nil {
		p.end()
		return part{}, err
	}
	return p, nil
}
