package dispatch

import (
	"context"
	"errors"
	"sync/atomic"

	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"
)

// errUnavailable is the error of a call that was not made, because Temporal had stopped answering.
var errUnavailable = errors.New("Temporal is unavailable")

// isUnavailable reports whether Temporal did not answer, is overloaded, or has lost its namespace. It is false if
// Temporal refused the call.
func isUnavailable(err error) bool {
	var unavailable *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	var exhausted *serviceerror.ResourceExhausted
	var namespace *serviceerror.NamespaceNotFound
	return errors.As(err, &unavailable) || errors.As(err, &late) || errors.As(err, &exhausted) || errors.As(err, &namespace) ||
		errors.Is(err, context.DeadlineExceeded)
}

// callAll makes n calls to Temporal, some of them at once, and returns the error of each. Once Temporal is unavailable
// it makes no more calls and returns true.
func callAll(n, atOnce int, call func(i int) error) (errs []error, unavailable bool) {
	errs = make([]error, n)
	if n == 0 {
		return errs, false
	}
	// The first call is made alone: while Temporal is unavailable, one timeout is enough.
	if errs[0] = call(0); isUnavailable(errs[0]) {
		for i := range errs[1:] {
			errs[i+1] = errUnavailable
		}
		return errs, true
	}
	var gone atomic.Bool
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := 1; i < n; i++ {
		group.Go(func() error {
			// Stop early so that the remaining calls do not each wait for a timeout.
			if gone.Load() {
				errs[i] = errUnavailable
				return nil
			}
			if errs[i] = call(i); isUnavailable(errs[i]) {
				gone.Store(true)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return errs, gone.Load()
}

// firstError returns the first error that is not nil; nil if there is none.
func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
