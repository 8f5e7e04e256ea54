package api

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"grapnel/internal/hook"
)

// Each refused publish is logged in one line, so that the operator can answer a publisher's question: which key, which
// tenant, and what was wrong where. Of the published data, the log has only the names in the locations of errors.

// refusal collects why a publish was refused.
type refusal struct {
	key    hook.APIKey
	status int
	codes  []string
	places []string
	// hops is the chain of events that the request comes from.
	hops []hook.EventID
	// events counts the refused events of a batch.
	events int
	// kinds counts the problems by their kinds.
	kinds map[hook.Kind]int
}

// refusalKey is the context key of a request's refusal.
type refusalKey struct{}

// refusalOf returns the refusal of a publish; nil for other requests.
func refusalOf(ctx context.Context) *refusal {
	r, _ := ctx.Value(refusalKey{}).(*refusal)
	return r
}

// Bounds of one line of the log.
const (
	mostPlacesLogged = 10
	longestPlace     = 200
)

// note adds a problem that the client gets. Internal errors are logged elsewhere.
func (r *refusal) note(p *problem) {
	if r == nil || p.Status >= statusCallerGone {
		return
	}
	r.status = p.Status
	if r.kinds == nil {
		r.kinds = make(map[hook.Kind]int, 1)
	}
	r.kinds[p.kind]++
	if !slices.Contains(r.codes, p.Code) {
		r.codes = append(r.codes, p.Code)
	}
	for _, e := range p.Errors {
		if len(r.places) < mostPlacesLogged {
			r.places = append(r.places, e.Location[:min(len(e.Location), longestPlace)])
		}
	}
}

// refusals limits the lines in the log. Each tenant has linesPerSecond; further ones are counted, and the next line of
// any tenant states their number.
type refusals struct {
	lines   *buckets[hook.TenantID]
	omitted atomic.Int64
}

// linesPerSecond bounds the lines of one tenant, and of all requests without a valid key together.
const linesPerSecond = 20

func newRefusals() *refusals { return &refusals{lines: newBuckets[hook.TenantID](linesPerSecond)} }

// logRefusals returns a middleware that logs the refusals of an operation.
func (a *API) logRefusals(operation string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r := &refusal{}
		ctx = huma.WithValue(ctx, refusalKey{}, r)
		next(ctx)
		if len(r.codes) == 0 {
			return
		}
		if a.Metrics != nil {
			for kind, n := range r.kinds {
				a.Metrics.Refused(kind, n)
			}
		}
		if wait := a.refusals.lines.take(r.key.TenantID, time.Now()); wait > 0 {
			a.refusals.omitted.Add(1)
			return
		}
		attrs := []slog.Attr{
			slog.String("operation", operation), slog.Int("status_code", r.status), slog.Any("codes", r.codes), slog.Any("places", r.places),
		}
		if r.key.TenantID != (hook.TenantID{}) {
			attrs = append(attrs, slog.String("tenant_id", r.key.TenantID.String()), slog.String("key_id", r.key.Actor("").ID))
		}
		if r.events > 0 {
			attrs = append(attrs, slog.Int("events", r.events))
		}
		if len(r.hops) > 0 {
			attrs = append(attrs, slog.Any("hops", r.hops))
		}
		if omitted := a.refusals.omitted.Swap(0); omitted > 0 {
			attrs = append(attrs, slog.Int64("omitted_lines", omitted))
		}
		a.Logger.LogAttrs(ctx.Context(), slog.LevelInfo, "publish refused", attrs...)
	}
}
