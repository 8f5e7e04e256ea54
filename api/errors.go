package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"grapnel/internal/hook"
)

// problem is the form of all error answers: RFC 9457 with a stable code (spec 6).
type problem struct {
	Type   string          `json:"type" doc:"A URI that names the kind of problem." example:"about:blank"`
	Title  string          `json:"title" doc:"The HTTP status in words." example:"Unprocessable Entity"`
	Status int             `json:"status" doc:"The HTTP status." example:"422"`
	Code   string          `json:"code" doc:"The kind of problem, for programs; it never changes. One of INVALID_ARGUMENT, NOT_FOUND, TENANT_NOT_FOUND (404: no such tenant, or not the key's), METHOD_NOT_ALLOWED, ALREADY_EXISTS (409: there is such a thing, or its key stands for another), FAILED_PRECONDITION (409: the state of the thing does not allow it), EVENT_TYPE_SHARED (409: all accounts share the event type), UNAUTHENTICATED, SESSION_ENDED (401: the portal session has expired or was revoked), PERMISSION_DENIED, TENANT_SUSPENDED (403: nothing is published or sent for the account until it is active again), PAYLOAD_TOO_LARGE, LIMIT_EXCEEDED (429: come again later; 422: there are as many as there may be), LOOP_DETECTED (422: the publish comes from deliveries of its own events), UNAVAILABLE, INTERNAL." example:"INVALID_ARGUMENT"`
	Detail string          `json:"detail,omitempty" doc:"What is wrong, in words." example:"validation failed"`
	Errors []problemDetail `json:"errors,omitempty" doc:"Each wrong value and its location."`

	retryAfter int
	kind       hook.Kind
}

type problemDetail struct {
	Location string `json:"location" doc:"The location of the value: body.url, path.id, query.limit. Inside published data a JSON pointer follows: body/data/items/0." example:"body.url"`
	Message  string `json:"message" doc:"What is wrong with it." example:"must be an absolute http or https URL"`
	Value    any    `json:"value,omitempty" doc:"The wrong value, if it is short and not secret."`
}

var _ huma.StatusError = (*problem)(nil)

func (p *problem) Error() string                                             { return p.Code + ": " + p.Detail }
func (p *problem) GetStatus() int                                            { return p.Status }
func (p *problem) ContentType(string) string                                 { return problemType }
func (problem) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema { return s }

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

// kindMapping maps a kind of error to HTTP.
type kindMapping struct {
	kind   hook.Kind
	status int
	code   string
}

// kindMappings is the table from kinds of errors to HTTP. Kinds with the same status have different meanings; the first
// of them is the one to assume if only the status is known, as for the errors of Huma and net/http.
var kindMappings = [...]kindMapping{ //nolint:gochecknoglobals // a table that never changes
	{hook.KindInvalid, http.StatusBadRequest, "INVALID_ARGUMENT"},
	{hook.KindUnprocessable, http.StatusUnprocessableEntity, "INVALID_ARGUMENT"},
	{hook.KindNotFound, http.StatusNotFound, "NOT_FOUND"},
	{hook.KindNoTenant, http.StatusNotFound, "TENANT_NOT_FOUND"},
	{hook.KindConflict, http.StatusConflict, "ALREADY_EXISTS"},
	{hook.KindPrecondition, http.StatusConflict, "FAILED_PRECONDITION"},
	{hook.KindShared, http.StatusConflict, "EVENT_TYPE_SHARED"},
	{hook.KindUnauthorized, http.StatusUnauthorized, "UNAUTHENTICATED"},
	{hook.KindSessionEnded, http.StatusUnauthorized, "SESSION_ENDED"},
	{hook.KindForbidden, http.StatusForbidden, "PERMISSION_DENIED"},
	{hook.KindSuspended, http.StatusForbidden, "TENANT_SUSPENDED"},
	{hook.KindTooLarge, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE"},
	{hook.KindMediaType, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT"},
	{hook.KindRateLimited, http.StatusTooManyRequests, "LIMIT_EXCEEDED"},
	{hook.KindLimit, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED"},
	{hook.KindLoop, http.StatusUnprocessableEntity, "LOOP_DETECTED"},
	{hook.KindUnavailable, http.StatusServiceUnavailable, "UNAVAILABLE"},
	{hook.KindInternal, http.StatusInternalServerError, "INTERNAL"},
}

// mapping returns the HTTP status and the code of a kind of error. An unknown kind is internal.
func mapping(k hook.Kind) (status int, code string) {
	for i := range kindMappings {
		if m := &kindMappings[i]; m.kind == k {
			return m.status, m.code
		}
	}
	return http.StatusInternalServerError, "INTERNAL"
}

// codeOf returns the code of a status that Huma or net/http answers with.
func codeOf(status int) string {
	if status == http.StatusMethodNotAllowed {
		return "METHOD_NOT_ALLOWED"
	}
	for i := range kindMappings {
		if m := &kindMappings[i]; m.status == status {
			return m.code
		}
	}
	return "INVALID_ARGUMENT"
}

// kindOf returns the kind of error for a status that Huma or net/http answers with.
func kindOf(status int) hook.Kind {
	for i := range kindMappings {
		if m := &kindMappings[i]; m.status == status {
			return m.kind
		}
	}
	return hook.KindInvalid
}

// invalid returns the error of a request with these violations; nil if there are none.
func invalid(violations []hook.Violation) error {
	if len(violations) == 0 {
		return nil
	}
	return &hook.Error{Kind: hook.KindUnprocessable, Message: "validation failed", Violations: violations}
}

// problemOf returns the part of an error that the client may see.
func problemOf(err error) *problem {
	var e *hook.Error
	if !errors.As(err, &e) {
		e = &hook.Error{Kind: hook.KindInternal}
	}
	status, code := mapping(e.Kind)
	p := &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: e.Message, kind: e.Kind}
	if e.Kind == hook.KindInternal {
		p.Detail = "something went wrong on our side"
		return p
	}
	p.retryAfter = int(math.Ceil(e.RetryAfter.Seconds()))
	for _, v := range most(e.Violations) {
		p.Errors = append(p.Errors, problemDetail{Location: v.Location, Message: v.Message, Value: shown(v.Location, v.Value)})
	}
	return p
}

// answer logs the details that the client must not see, and returns err as a problem with its headers. If the client
// has gone, it logs no error, and the answer is lost.
func (a *API) answer(ctx context.Context, operation string, err error) error {
	if callerGone(ctx, err) {
		a.Logger.DebugContext(ctx, "caller gone", slog.String("operation", operation), slog.Any("error", err))
		return &problem{Type: "about:blank", Title: "Client Closed Request", Status: statusCallerGone, Code: "CANCELED"}
	}
	p := problemOf(err)
	refusalOf(ctx).note(p)
	if p.Status >= http.StatusInternalServerError {
		a.Logger.ErrorContext(ctx, "request failed", slog.String("operation", operation), slog.Int("status_code", p.Status), slog.Any("error", err))
	}
	headers := http.Header{}
	if p.retryAfter > 0 {
		headers.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		headers.Set("WWW-Authenticate", "Bearer")
	}
	if len(headers) == 0 {
		return p
	}
	return huma.ErrorWithHeaders(p, headers)
}

// statusCallerGone is the status that proxies log for a client that has gone; metrics show it.
const statusCallerGone = 499

// callerGone reports whether err only means that the client has ended the request.
func callerGone(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.Canceled) && (errors.Is(err, context.Canceled) || hook.KindOf(err) == hook.KindUnavailable)
}

// newHumaError turns errors of parsing and validating requests, which Huma makes, into problems. Huma answers 500 only
// if a body could not be read, which is the client's fault; errors of handlers don't pass here. ctx may be nil.
func newHumaError(ctx huma.Context, status int, message string, errs ...error) *problem {
	if status == http.StatusInternalServerError {
		status, message, errs = http.StatusBadRequest, "the request body could not be read", nil
	}
	if status == http.StatusRequestEntityTooLarge {
		message = tooLarge(message)
	}
	p := &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: codeOf(status), Detail: message, kind: kindOf(status)}
	if len(errs) == 0 && aboutBody(status) {
		p.Errors = []problemDetail{{Location: "body", Message: message}}
	}
	for _, err := range most(errs) {
		detail := problemDetail{Message: err.Error()}
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			e := d.ErrorDetail()
			detail = problemDetail{Location: e.Location, Message: plain(e.Location, e.Message), Value: shown(e.Location, e.Value)}
			if e.Message == textUnknownParameter && ctx != nil {
				detail.Value = shown(e.Location, ctx.Query(strings.TrimPrefix(e.Location, "query.")))
			}
		}
		p.Errors = append(p.Errors, detail)
	}
	return p
}

// aboutBody reports whether Huma uses a status for a body that is missing, late, too large or unreadable.
func aboutBody(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusRequestTimeout || status == http.StatusRequestEntityTooLarge
}

// secretLocation matches the locations of values that an error must not repeat: secrets, and values that may contain
// one by mistake.
var secretLocation = regexp.MustCompile(`(?i)secret|overlap|signature|header|key|token|^body$`)

// longestValue bounds the wrong values that an error repeats, in bytes.
const longestValue = 200

// mostDetails bounds the errors in one answer. A mistake takes a few bytes in a request, and the answer must not be
// many times as large.
const mostDetails = 100

func most[T any](list []T) []T { return list[:min(len(list), mostDetails)] }

// shown returns a wrong value if an error may repeat it, that is if it is short, scalar and not secret; otherwise nil.
func shown(location string, v any) any {
	if secretLocation.MatchString(location) {
		return nil
	}
	switch v := v.(type) {
	case string:
		if len(v) <= longestValue && !looksSecret(v) {
			return v
		}
	case bool, int, int64, float64:
		return v
	}
	return nil
}

// recovering turns a panic into a 500 without details, and logs it. If the answer has begun, the connection is cut off,
// so that the client does not take half of the answer for all of it.
func (a *API) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &trackedWriter{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				a.panicked(tracked, r, v)
			}
		}()
		next.ServeHTTP(tracked, r)
	})
}

func (a *API) panicked(w *trackedWriter, r *http.Request, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares with this value
		panic(v)
	}
	a.Logger.ErrorContext(r.Context(), "panic", slog.String("path", r.URL.Path), slog.String("panic", fmt.Sprint(v)),
		slog.String("stack", string(debug.Stack())))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	p := problemOf(nil)
	write(w, problemType, p.Status, p)
}

// trackedWriter notes whether the answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	begun bool
}

// Unwrap lets http.ResponseController set deadlines.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *trackedWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *trackedWriter) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// withoutRoute answers requests that match no operation with a problem.
func (a *API) withoutRoute(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		spaceSlashes(r.URL)
		h, pattern := mux.Handler(r)
		// The mux would redirect a path with an empty or a dot segment, for instance because a script forgot to set an
		// id, to a path without that segment, which is another resource.
		missing := pathProblem(r.URL.EscapedPath())
		if missing != "" {
			h, pattern = http.NotFoundHandler(), ""
		}
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// Only the status and the headers of the mux's own answer are used.
		probe := &statusProbe{header: http.Header{}}
		h.ServeHTTP(probe, r)
		if probe.status == http.StatusMovedPermanently || probe.status == http.StatusTemporaryRedirect || probe.status == http.StatusPermanentRedirect {
			mux.ServeHTTP(w, r)
			return
		}
		status, detail := http.StatusNotFound, cmp.Or(missing, "there is nothing at this path")
		if probe.status == http.StatusMethodNotAllowed {
			status, detail = probe.status, "the path does not have this method"
			w.Header().Set("Allow", probe.header.Get("Allow"))
		}
		p := newHumaError(nil, status, detail)
		write(w, problemType, status, p)
	})
}

// pathProblem says why a path can't be one of the API; "" if it can.
func pathProblem(escaped string) string {
	switch {
	case !strings.HasPrefix(escaped, "/"): // the mux would answer a * with an empty 400
		return "there is nothing at this path"
	case strings.Contains(escaped, "//"):
		return "the path has an empty segment"
	case strings.Contains(escaped, "/./"), strings.Contains(escaped, "/../"), strings.HasSuffix(escaped, "/."), strings.HasSuffix(escaped, "/.."):
		return "the path has a dot segment; a name of dots is written %2E"
	default:
		return ""
	}
}

// spaceSlashes lets the mux find a name that consists of a slash only, which it would take for the end of the path. It
// puts a space before the slash, which changes nothing, because names are trimmed.
func spaceSlashes(u *url.URL) {
	if u.RawPath == "" {
		return // the path has no unusual encoding
	}
	segments := strings.Split(u.EscapedPath(), "/")
	found := false
	for i, segment := range segments {
		if strings.EqualFold(segment, "%2F") {
			segments[i], found = "%20%2F", true
		}
	}
	if !found {
		return
	}
	u.RawPath = strings.Join(segments, "/")
	u.Path, _ = url.PathUnescape(u.RawPath) // it was valid before
}

type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
