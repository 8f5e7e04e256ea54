package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/alecthomas/kong"

	grapnelapi "grapnel/clients/go"
)

// The exit codes; ExitCodes documents them.
const (
	codeOther       = 1
	codeWrong       = 2
	codeUnavailable = 3
	codeKey         = 4
	codeNotFound    = 5
	codeNo          = 6
)

// coded is an error with an exit code.
type coded struct {
	error
	code int
}

func (c *coded) Unwrap() error { return c.error }

func failf(code int, format string, args ...any) error {
	return &coded{fmt.Errorf(format, args...), code}
}

// ExitCode returns the exit code for the error of a command; 0 for nil.
func ExitCode(err error) int {
	var c *coded
	var parse *kong.ParseError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &parse):
		return codeWrong
	default:
		return codeOther
	}
}

// refused returns an error for an answer that is no success, with the exit code for its status. It returns nil for a
// success.
func refused(answer grapnelapi.Answer) error {
	err := grapnelapi.Check(answer)
	if err == nil {
		return nil
	}
	code := codeWrong
	switch status := answer.StatusCode(); {
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		code = codeUnavailable
	case status == http.StatusUnauthorized:
		// The API's text names a header; users of the command line give a flag or a variable.
		return failf(codeKey, "%w: give an API key with --key or GRAPNEL_KEY", err)
	case status == http.StatusForbidden:
		code = codeKey
	case status == http.StatusNotFound:
		code = codeNotFound
	}
	return &coded{err, code}
}

// stranger returns the error for an answer that is not Grapnel's.
func stranger(err error) error {
	return failf(codeOther, "the server at --url is not Grapnel's API: %w", err)
}

// answered returns the error of a call: that of the connection, or that of the answer.
func answered(answer grapnelapi.Answer, err error) error {
	var unreachable *url.Error // the type of net/http's errors
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &unreachable):
		return failf(codeUnavailable, "the API can't be reached: %w", err)
	case err != nil:
		return stranger(err)
	default:
		return refused(answer)
	}
}
