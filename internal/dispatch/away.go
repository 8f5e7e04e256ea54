package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"
)

// errAway says that Temporal stopped answering, so that the next request would fare
// no better.
var errAway = errors.New("Temporal is away")

// isAway tells that Temporal did not answer, has too much to do, or has lost its
// namespace, rather than that it refused.
func isAway(err error) bool {
	var unavailable *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	var exhausted *serviceerror.ResourceExhausted
	var namespace *serviceerror.NamespaceNotFound
	return errors.As(err, &unavailable) || errors.As(err, &late) || errors.As(err, &exhausted) || errors.As(err, &namespace) ||
		errors.Is(err, context.DeadlineExceeded)
}

// askAll asks Temporal n things, several at once, and returns what came of each. Once
// it is away the rest is not asked; away tells that.
func askAll(n, atOnce int, ask func(i int) error) (errs []error, away bool) {
	errs = make([]error, n)
	if n == 0 {
		return errs, false
	}
	// One first: while Temporal is away, one time-out is enough.
	if errs[0] = ask(0); isAway(errs[0]) {
		for i := range errs[1:] {
			errs[i+1] = errAway
		}
		return errs, true
	}
	var gone atomic.Bool
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := 1; i < n; i++ {
		group.Go(func() error {
			// Nor does each of the rest take one of its own.
			if gone.Load() {
				errs[i] = errAway
				return nil
			}
			if errs[i] = ask(i); isAway(errs[i]) {
				gone.Store(true)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return errs, gone.Load()
}

// firstOf is the first of the errors; nil if there is none.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// teller logs a failure when it is another one than the last, so that an outage fills
// no log.
type teller struct {
	logger *slog.Logger
	told   string
}

func (t *teller) tell(ctx context.Context, doing string, err error) {
	switch {
	case err == nil:
		t.told = ""
	case ctx.Err() == nil && err.Error() != t.told:
		t.told = err.Error()
		t.logger.WarnContext(ctx, doing, slog.Any("error", err))
	}
}
