package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
)

// ours turns a failure of Grapnel's own into an error that asks for the next run; kinds that
// no retry can mend are final. This is the only table from kind to application error. The
// delay is short whatever Temporal's count of attempts: the retry policy's long delays are for
// receivers. doing says what failed, unless the error has a step of its own.
func (a *Activities) ours(ctx context.Context, doing string, err error) error {
	var failed *delivery.StepError
	if errors.As(err, &failed) {
		doing, err = failed.Step, failed.Err
	}
	options := temporal.ApplicationErrorOptions{NextRetryDelay: a.engine.RetryPause()}
	if errors.Is(err, delivery.ErrStopping) || errors.Is(err, worker.ErrWorkerShutdown) || errors.Is(err, context.Canceled) {
		options.NextRetryDelay = delivery.StopRetry
	}
	kind, typ := hook.KindOf(err), contract.ErrorOurs
	switch kind {
	case hook.KindNotFound, hook.KindNoTenant, hook.KindConflict, hook.KindPrecondition, hook.KindShared, hook.KindInvalid, hook.KindUnprocessable, hook.KindForbidden,
		hook.KindSuspended, hook.KindUnauthorized, hook.KindSessionEnded, hook.KindTooLarge, hook.KindMediaType, hook.KindLimit, hook.KindLoop:
		options.NonRetryable, options.Details, typ = true, []any{kind}, contract.ErrorRefused
	case hook.KindUnavailable, hook.KindRateLimited, hook.KindInternal:
	}
	// The cause goes to the log only: a message that a person reads in Temporal names no hosts
	// or SQL.
	a.log.WarnContext(ctx, doing, slog.String("kind", string(kind)), slog.Any("error", err))
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf("%s: %s", doing, kind), typ, options)
}

// memoryLater asks for the next run of deliveries that have found no room in memory.
func (a *Activities) memoryLater(deliveries int) error {
	return runAgain(a.engine.RetryPause(), memoryText(deliveries))
}

func memoryText(deliveries int) string {
	return fmt.Sprintf("%d deliveries waiting for memory of the worker, which others use", deliveries)
}

// runAgain asks Temporal for the next run after a delay, which it bounds.
func runAgain(in time.Duration, why string) error {
	in = min(max(in, time.Millisecond), maxSleep)
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf("%s; next in %s", why, rounded(in)), contract.ErrorOutstanding,
		temporal.ApplicationErrorOptions{NextRetryDelay: in, Category: temporal.ApplicationErrorCategoryBenign})
}

// maxSleep bounds the time between two runs of a drain or a replay, whatever its reason:
// Temporal does not, and the process that should wake it may be an older version, or may have
// died over it.
const maxSleep = 5 * time.Minute

// messageOf returns the text that a person reads of an error that leaves an activity.
func messageOf(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	return string(hook.KindInternal)
}
