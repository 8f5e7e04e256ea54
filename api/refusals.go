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

// A publish that is refused leaves one line in the log, so that an operator whom a
// publisher asks can say why: which key, which tenant, and what was wrong where; nothing
// of what was published but the names in the places of the errors.

// refusal is what was wrong with a request that publishes.
type refusal struct {
	key    hook.APIKey
	status int
	codes  []string
	places []string
	// hops is the chain that the request comes from.
	hops []hook.EventID
	// events is how many events were refused of a request that published others.
	events int
}

// refusalKey is the key of a request's refusal in its context.
type refusalKey struct{}

// refusalOf is what is gathered of a request that publishes; nil for others.
func refusalOf(ctx context.Context) *refusal {
	r, _ := ctx.Value(refusalKey{}).(*refusal)
	return r
}

// Bounds of a line.
const (
	mostPlacesLogged = 10
	longestPlace     = 200
)

// note adds what a client is told. What is wrong on our side is logged elsewhere.
func (r *refusal) note(p *problem) {
	if r == nil || p.Status >= statusCallerGone {
		return
	}
	r.status = p.Status
	if !slices.Contains(r.codes, p.Code) {
		r.codes = append(r.codes, p.Code)
	}
	for _, e := range p.Errors {
		if len(r.places) < mostPlacesLogged {
			r.places = append(r.places, e.Location[:min(len(e.Location), longestPlace)])
		}
	}
}

// refusals are the lines of a process. A tenant has so many a second; what is more is
// counted, and told by the next line of any.
type refusals struct {
	lines   *buckets[hook.TenantID]
	omitted atomic.Int64
}

// linesPerSecond bounds the lines of a tenant, and of those whose keys are not valid.
const linesPerSecond = 20

func newRefusals() *refusals { return &refusals{lines: newBuckets[hook.TenantID](linesPerSecond)} }

// logRefusals logs what was refused of an operation's requests.
func (a *API) logRefusals(operation string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r := &refusal{}
		ctx = huma.WithValue(ctx, refusalKey{}, r)
		next(ctx)
		if len(r.codes) == 0 {
			return
		}
		if wait := a.refusals.lines.take(r.key.TenantID, time.Now()); wait > 0 {
			a.refusals.omitted.Add(1)
			return
		}
		attrs := []slog.Attr{
			slog.String("operation", operation), slog.Int("status_code", r.status), slog.Any("codes", r.codes), slog.Any("places", r.places),
		}
		if r.key.TenantID != (hook.TenantID{}) {
			attrs = append(attrs, slog.String("tenant_id", r.key.TenantID.String()), slog.String("key_id", r.key.ID.String()))
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
