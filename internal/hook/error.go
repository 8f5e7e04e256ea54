package hook

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the class of an error. The set is closed. A table in api/errors.go maps it to HTTP, and a table in
// activities/errors.go to Temporal.
type Kind string

// The kinds of errors (spec 6).
const (
	KindInvalid       Kind = "invalid"       // the request is malformed
	KindUnprocessable Kind = "unprocessable" // well-formed, but a value is not acceptable
	KindNotFound      Kind = "not_found"
	KindNoTenant      Kind = "no_tenant" // the tenant that the request names does not exist (K3)
	KindConflict      Kind = "conflict"
	KindPrecondition  Kind = "precondition" // the resource is not in a state that allows it
	KindShared        Kind = "shared"       // all tenants share it, so no tenant may change it (K6)
	KindUnauthorized  Kind = "unauthorized"
	KindSessionEnded  Kind = "session_ended" // the token is that of a portal session that has ended (P2)
	KindForbidden     Kind = "forbidden"
	KindSuspended     Kind = "suspended" // the tenant is suspended (K8)
	KindTooLarge      Kind = "too_large"
	KindMediaType     Kind = "media_type"
	KindRateLimited   Kind = "rate_limited"
	KindLimit         Kind = "limit"       // the limit on their number is reached
	KindLoop          Kind = "loop"        // the chain of events is too long
	KindUnavailable   Kind = "unavailable" // the store or Temporal is unavailable; try again
	KindInternal      Kind = "internal"
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{
		KindInvalid, KindUnprocessable, KindNotFound, KindNoTenant, KindConflict, KindPrecondition, KindShared, KindUnauthorized, KindSessionEnded, KindForbidden,
		KindTooLarge, KindMediaType, KindRateLimited, KindLimit, KindLoop, KindUnavailable, KindInternal,
	}
}

// Error is the one error type of the domain. Message and Violations are for the client. Err is for the log and never
// leaves the process. An error of any other type is internal.
type Error struct {
	Kind       Kind
	Message    string
	Violations []Violation
	// RetryAfter is how long to wait before trying again, for rate_limited and unavailable; 0 if that is not known.
	RetryAfter time.Duration
	Err        error
}

// ErrNotSent is in the chain of a sending error if it is certain that no request has reached the receiver, so that even
// an at-most-once delivery may be tried again.
var ErrNotSent = errors.New("nothing was sent")

// Violation describes one wrong value: its place ("body.url", "path.id", "body.data/users/0") and what is wrong with
// it.
type Violation struct {
	Location string
	Message  string
	// Value is the wrong value; nil if it is secret, absent or long.
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

// KindOf returns the kind of err. It is internal unless an Error is in the chain.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// NotFound returns the error for a resource that does not exist or belongs to another tenant. The two are the same to
// clients.
func NotFound(what string) *Error {
	return &Error{Kind: KindNotFound, Message: what + " not found"}
}

// NoTenant returns the error for a tenant that does not exist, or that the key may not act for. The two are the same to
// clients (K3).
func NoTenant() *Error {
	return &Error{Kind: KindNoTenant, Message: "tenant not found"}
}

// Suspended returns the error for what a suspended tenant must not do (K8).
func Suspended() *Error {
	return &Error{Kind: KindSuspended, Message: "the tenant is suspended: nothing is published or sent for it until it is active again"}
}

// SessionEnded returns the error for the token of a portal session that has expired or was revoked (P2).
func SessionEnded() *Error {
	return &Error{Kind: KindSessionEnded, Message: "the portal session has ended: open a new link"}
}

// Unprocessable returns the error for a wrong value at one location.
func Unprocessable(location, format string, args ...any) *Error {
	return &Error{
		Kind:       KindUnprocessable,
		Message:    "validation failed",
		Violations: []Violation{{Location: location, Message: fmt.Sprintf(format, args...)}},
	}
}

// LimitExceeded returns the error for a request that would exceed a limit.
func LimitExceeded(format string, args ...any) *Error {
	return &Error{Kind: KindLimit, Message: fmt.Sprintf(format, args...)}
}

// Unavailable returns the error for a part of Grapnel that is unavailable. It is worth trying again.
func Unavailable(what string, err error) *Error {
	return &Error{Kind: KindUnavailable, Message: what + " is unavailable", RetryAfter: 2 * time.Second, Err: err}
}

// violations collects the wrong values of one request, so that a client sees all of them at once.
type violations []Violation

func (v *violations) add(location string, value any, format string, args ...any) {
	*v = append(*v, Violation{Location: location, Message: fmt.Sprintf(format, args...), Value: value})
}

// maxShown bounds the values that a violation repeats.
const maxShown = 256

// shown returns a value as a violation may repeat it; nil if it is long, or may be a URL with a password.
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
