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

// coded is an error that knows its exit code.
type coded struct {
	error
	code int
}

func (c *coded) Unwrap() error { return c.error }

func failf(code int, format string, args ...any) error {
	return &coded{fmt.Errorf(format, args...), code}
}

// ExitCode is the process' exit code for what a command returned.
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

// refused is the error of an answer that is no success.
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
		// The API speaks of a header, which is none of this command line's.
		return failf(codeKey, "%w: give an API key with --key or GRAPNEL_KEY", err)
	case status == http.StatusForbidden:
		code = codeKey
	case status == http.StatusNotFound:
		code = codeNotFound
	}
	return &coded{err, code}
}

// stranger is the error of an answer that can't be Grapnel's.
func stranger(err error) error {
	return failf(codeOther, "what answers at --url is not Grapnel's API: %w", err)
}

// answered is what went wrong with a call, be it on the way or there.
func answered(answer grapnelapi.Answer, err error) error {
	var away *url.Error // what net/http's client returns
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &away):
		return failf(codeUnavailable, "the API can't be reached: %w", err)
	case err != nil:
		return stranger(err)
	default:
		return refused(answer)
	}
}
