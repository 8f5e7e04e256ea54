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
	"grapnel/internal/hook"
)

// oursRetry is when to try again after a failure of ours. It is short whatever
// Temporal's count of attempts: the retry policy's long delays are the
// receiver's, not ours.
const oursRetry = 5 * time.Second

// oursJitter spreads what an outage of ours has brought into step.
const oursJitter = 5 * time.Second

// stopRetry is when another worker should go on with what a stopping one left.
const stopRetry = time.Second

// ours turns a failure of ours into a retry; kinds that no retry can mend are
// final. This is the one table from kind to application error.
func (a *Activities) ours(ctx context.Context, doing string, err error) error {
	options := temporal.ApplicationErrorOptions{NextRetryDelay: oursRetry + a.jitter(oursJitter)}
	if errors.Is(err, worker.ErrWorkerShutdown) || errors.Is(err, context.Canceled) {
		options.NextRetryDelay = stopRetry
	}
	kind, typ := hook.KindOf(err), contract.ErrorOurs
	switch kind {
	case hook.KindNotFound, hook.KindConflict, hook.KindPrecondition, hook.KindInvalid, hook.KindUnprocessable, hook.KindForbidden,
		hook.KindUnauthorized, hook.KindTooLarge, hook.KindMediaType, hook.KindLimit, hook.KindLoop:
		options.NonRetryable, options.Details, typ = true, []any{kind}, contract.ErrorRefused
	case hook.KindUnavailable, hook.KindRateLimited, hook.KindInternal:
	}
	// The cause goes to the log; what a person reads in Temporal names no hosts or SQL.
	a.log.WarnContext(ctx, doing, slog.String("kind", string(kind)), slog.Any("error", err))
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf("%s: %s", doing, kind), typ, options)
}

// messageOf is what a person reads of an error that leaves an activity.
func messageOf(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	return string(hook.KindInternal)
}
