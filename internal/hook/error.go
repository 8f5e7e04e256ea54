package hook

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the class of an error; the set is closed. What a kind becomes over
// HTTP is one table in api/errors.go, what it becomes in Temporal one table in
// activities/errors.go.
type Kind string

// The kinds of errors (spec 6).
const (
	KindInvalid       Kind = "invalid"       // the request is malformed
	KindUnprocessable Kind = "unprocessable" // well-formed, but a value is not acceptable
	KindNotFound      Kind = "not_found"
	KindConflict      Kind = "conflict"
	KindPrecondition  Kind = "precondition" // the thing is not in a state that allows it
	KindUnauthorized  Kind = "unauthorized"
	KindForbidden     Kind = "forbidden"
	KindTooLarge      Kind = "too_large"
	KindMediaType     Kind = "media_type"
	KindRateLimited   Kind = "rate_limited"
	KindLimit         Kind = "limit"       // there are as many as there may be
	KindLoop          Kind = "loop"        // it comes from our own deliveries, too deep
	KindUnavailable   Kind = "unavailable" // the store or Temporal is away; try again
	KindInternal      Kind = "internal"
)

// Error is the one error type of the domain. Message and Violations are for the
// caller, Err is for the log and never leaves the process. An error of any other
// type is internal.
type Error struct {
	Kind       Kind
	Message    string
	Violations []Violation
	// RetryAfter is when to try again, for rate_limited and unavailable; zero says nothing.
	RetryAfter time.Duration
	Err        error
}

// ErrNotSent is in the chain of an error of sending when it is certain that no
// request has reached the receiver, so that even an at-most-once delivery may be
// tried again.
var ErrNotSent = errors.New("nothing was sent")

// Violation names one wrong value: where it is ("body.url", "path.id",
// "body.data/users/0") and what is wrong with it.
type Violation struct {
	Location string
	Message  string
	// Value is what was given, nil where it is secret, absent or long.
	Value any
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	for _, v := range e.Violations {
		b.WriteString("; " + v.Location + ": " + v.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of err: internal unless an Error is in its chain.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// NotFound says that the thing does not exist, or is another tenant's: the two
// are never told apart.
func NotFound(what string) *Error {
	return &Error{Kind: KindNotFound, Message: what + " not found"}
}

// Unprocessable refuses the value at one location.
func Unprocessable(location, format string, args ...any) *Error {
	return &Error{
		Kind:       KindUnprocessable,
		Message:    "validation failed",
		Violations: []Violation{{Location: location, Message: fmt.Sprintf(format, args...)}},
	}
}

// LimitExceeded says of what there would be more than may be.
func LimitExceeded(format string, args ...any) *Error {
	return &Error{Kind: KindLimit, Message: fmt.Sprintf(format, args...)}
}

// Unavailable says that a part of ours is away and that it is worth trying again.
func Unavailable(what string, err error) *Error {
	return &Error{Kind: KindUnavailable, Message: what + " is unavailable", RetryAfter: 2 * time.Second, Err: err}
}

// violations gathers what is wrong with one request, so that a caller sees all
// of it at once.
type violations []Violation

func (v *violations) add(location string, value any, format string, args ...any) {
	*v = append(*v, Violation{Location: location, Message: fmt.Sprintf(format, args...), Value: value})
}

// maxShown bounds the values that a violation repeats.
const maxShown = 256

// shown is a value as a violation may repeat it: nil where it is long, or may be
// a URL with a password.
func shown(value string) any {
	if len(value) > maxShown || strings.Contains(value, "@") {
		return nil
	}
	return value
}

func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return &Error{Kind: KindUnprocessable, Message: "validation failed", Violations: v}
}
