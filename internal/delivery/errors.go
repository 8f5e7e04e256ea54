package delivery

import (
	"errors"
	"time"

	"grapnel/internal/hook"
)

// Reasons why a run has left deliveries to the next one.
var (
	// ErrMemory says that there was no room in memory in time. Nothing was sent.
	ErrMemory = errors.New("no room in memory")
	// ErrStopping says that the worker stops.
	ErrStopping = errors.New("the worker is stopping")
	// ErrBlocked says that the deliveries can't be sent now, for a reason that was logged.
	ErrBlocked = errors.New("deliveries are blocked")
	// ErrUnreadable says that no key opens the webhook's secrets.
	ErrUnreadable = errors.New("the webhook's secrets can't be read")
)

// errChanging says that a webhook changes so fast that no request could be made for it.
var errChanging = hook.Unavailable("the webhook", errors.New("it has changed each time it was loaded"))

// errNoPayload says that a request would have gone out without its payload.
var errNoPayload = errors.New("payload not loaded")

const (
	// retryAfter is the least delay after a failure of Grapnel's own. It is short however often
	// that fails: the long delays of the schedule are for receivers.
	retryAfter = 5 * time.Second
	// retryJitter spreads the retries of activities that an outage has brought into step.
	retryJitter = 5 * time.Second
	// MaxRetryPause is the longest RetryPause.
	MaxRetryPause = retryAfter + retryJitter
	// StopRetry is the delay after which another worker goes on with the work of one that stops.
	StopRetry = time.Second
)

// RetryPause draws the delay of the next run after a failure of Grapnel's own.
func (e *Engine) RetryPause() time.Duration { return retryAfter + e.jitter(retryJitter) }

// StepError is a failure of Grapnel's own, with the step of the work that failed.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

func (e *StepError) Unwrap() error { return e.Err }

// limitReason is the reason of a limit as an error, for the chain of the answer.
type limitReason hook.WaitReason

func (r limitReason) Error() string { return string(r) }

// LimitReason returns the limit because of which SendNow has sent nothing; empty if the error
// is another one.
func LimitReason(err error) hook.WaitReason {
	var reason limitReason
	errors.As(err, &reason)
	return hook.WaitReason(reason)
}
