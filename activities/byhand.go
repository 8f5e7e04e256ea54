package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// What a person sends shares the webhook's limits with its events. It waits for a place
// for a moment only: a person waits for it.

const (
	// handPatience is how long what is sent by hand waits for a place.
	handPatience = 3 * time.Second
	// handAgain is when to ask again where there was none.
	handAgain = time.Second
)

// enterByHand waits for a place among the webhook's requests; the error is rate limited
// where there was none. waited says that it was not there at once.
func (a *Activities) enterByHand(ctx context.Context, w *hook.Webhook, payload int) (waited bool, err error) {
	stops := a.stops(ctx)
	before, cancel := context.WithTimeout(ctx, handPatience)
	defer cancel()
	defer stops.whenStopping(cancel)()
	for {
		reason := a.gates.enterByHand(w, payload, a.now())
		if reason == "" {
			return waited, nil
		}
		waited = true
		if wait.For(before, crowdLook) == nil {
			continue
		}
		switch {
		case ctx.Err() != nil:
			return waited, errors.Join(hook.ErrNotSent, context.Cause(ctx))
		case stops.isStopping():
			return waited, errors.Join(hook.ErrNotSent, worker.ErrWorkerShutdown)
		}
		return waited, &hook.Error{Kind: hook.KindRateLimited, Message: limitText(reason), RetryAfter: handAgain, Err: limitReason(reason)}
	}
}

// limitReason is the reason as an error, for the chain of what is answered.
type limitReason hook.WaitReason

func (r limitReason) Error() string { return string(r) }

func limitText(reason hook.WaitReason) string {
	switch reason {
	case hook.WaitRate:
		return "the webhook is at its rate_limit, which tests and retries by hand share"
	case hook.WaitUnavailable:
		return "the endpoint is unavailable, and another request by hand is just asking it"
	case hook.WaitInFlight, hook.WaitPaused:
	}
	return "the webhook has as many requests in flight as it may have, which tests and retries by hand share"
}

// limited is the error that leaves the activity: no failure of ours, and none of the
// receiver's.
func limited(err error) error {
	l := contract.Limited{Message: err.Error(), RetryAfter: handAgain}
	var e *hook.Error
	if errors.As(err, &e) {
		l.Message, l.RetryAfter = e.Message, e.RetryAfter
	}
	var reason limitReason
	if errors.As(err, &reason) {
		l.Reason = hook.WaitReason(reason)
	}
	return temporal.NewApplicationErrorWithOptions(l.Message, contract.ErrorLimited, temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{l},
	})
}
