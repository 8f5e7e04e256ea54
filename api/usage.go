package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
)

type usageStore interface {
	// Usage returns what was used in each period in which something was, the earliest first.
	Usage(ctx context.Context, f hook.UsageFilter) ([]hook.Usage, error)
	// UsageByTenant returns a page of what each tenant has used, by tenant and then the earliest first, and after what the next
	// page begins, nil at the end.
	UsageByTenant(ctx context.Context, f hook.UsageFilter, after hook.UsageMark, limit int) ([]hook.TenantUsage, *hook.UsageMark, error)
}

// UsageCounts are the counts of usage.
type UsageCounts struct {
	Events     int64 `json:"events" doc:"Accepted events, without tests." example:"1200"`
	Deliveries int64 `json:"deliveries" doc:"Deliveries created: with their events, and by replays." example:"2400"`
	Attempts   int64 `json:"attempts" doc:"Requests made, without tests. Counted in the period in which they began." example:"2410"`
	Successes  int64 `json:"successes" doc:"Attempts that were answered with 2xx." example:"2390"`
	Failures   int64 `json:"failures" doc:"The other attempts." example:"20"`
	Bytes      int64 `json:"bytes" doc:"Bytes of the accepted events' data, each event once, as canonical JSON." example:"360000"`
}

func (c *UsageCounts) add(u *hook.Usage) {
	c.Events += u.Events
	c.Deliveries += u.Deliveries
	c.Attempts += u.Attempts
	c.Successes += u.Successes
	c.Failures += u.Failures()
	c.Bytes += u.Bytes
}

// UsagePeriod is what was used in an hour or a day.
type UsagePeriod struct {
	Start time.Time `json:"start" doc:"The period's beginning, in UTC." example:"2026-01-15T00:00:00Z"`
	UsageCounts
}

type usage struct {
	Since   time.Time     `json:"since" doc:"The beginning of the first period: the request's since, rounded down." example:"2026-01-01T00:00:00Z"`
	Until   time.Time     `json:"until" doc:"The end of the last period: the request's until, rounded up." example:"2026-02-01T00:00:00Z"`
	By      string        `json:"by" enum:"hour,day" doc:"The length of the periods." example:"day"`
	Total   UsageCounts   `json:"total" doc:"The sums over all periods."`
	Periods []UsagePeriod `json:"periods" doc:"The periods in which something was used, the earliest first."`
}

type getUsageInput struct{ UsageQuery }

// UsageQuery holds the query parameters of usage. It is exported for the same reason as IDPath.
type UsageQuery struct {
	Since time.Time `query:"since" doc:"From the period of this time on. Default: 30 days before until, by hour 24 hours."`
	Until time.Time `query:"until" doc:"Up to the period before this time. Default: now."`
	By    string    `query:"by" enum:"hour,day" default:"day" doc:"The length of the periods. Days are those of UTC."`
}

type getUsageOutput struct {
	Body usage
}

// Bounds of a report of usage: the periods that it has by default, and at most.
const (
	defaultUsageDays  = 30
	defaultUsageHours = 24
	mostUsagePeriods  = 1000
)

func (a *API) registerUsage() {
	register(a, operation{
		id: "get-usage", portal: portalView, method: http.MethodGet, path: "/v1/usage", tag: tagStandard, scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks},
		summary: "Get the account's usage",
		description: "Counts of events, deliveries and attempts by hour or day, at most 1,000 periods. Everything that is stored is counted at once and " +
			"exactly. Counts are kept for 400 days (--usage-retention), longer than what they count.",
	}, a.getUsage)
}

func (a *API) getUsage(ctx context.Context, in *getUsageInput) (*getUsageOutput, error) {
	if err := checkWholeAccount(ctx); err != nil {
		return nil, err
	}
	f, err := in.filter(listed(ctx), time.Now())
	if err != nil {
		return nil, err
	}
	periods, err := a.Store.Usage(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &getUsageOutput{Body: usage{Since: f.Since, Until: f.Until, By: string(f.By), Periods: make([]UsagePeriod, 0, len(periods))}}
	for i := range periods {
		p := UsagePeriod{Start: periods[i].Start}
		p.add(&periods[i])
		out.Body.Total.add(&periods[i])
		out.Body.Periods = append(out.Body.Periods, p)
	}
	return out, nil
}

// filter returns what the request asks for: whole periods, of one tenant or of all.
func (in *UsageQuery) filter(of hook.TenantFilter, now time.Time) (hook.UsageFilter, error) {
	f := hook.UsageFilter{Of: of, By: hook.UsagePeriod(in.By)}
	length, usual := f.By.Length(), defaultUsageDays
	if f.By == hook.ByHour {
		usual = defaultUsageHours
	}
	if f.Until = in.Until.UTC(); in.Until.IsZero() {
		f.Until = now.UTC()
	}
	if down := f.Until.Truncate(length); down.Before(f.Until) {
		f.Until = down.Add(length)
	}
	if f.Since = in.Since.UTC().Truncate(length); in.Since.IsZero() {
		f.Since = f.Until.Add(-time.Duration(usual) * length)
	}
	switch {
	case f.Until.Year() > 9999 || f.Until.Year() < 1: // RFC 3339 has no other years
		return f, hook.Unprocessable("query.until", "must lie in the years 1 to 9999, in UTC")
	case f.Since.Year() > 9999 || f.Since.Year() < 1:
		return f, hook.Unprocessable("query.since", "must lie in the years 1 to 9999, in UTC")
	case f.Since.After(f.Until):
		return f, hook.Unprocessable("query.since", "must not be after until")
	case f.Until.Sub(f.Since) > mostUsagePeriods*length:
		return f, hook.Unprocessable("query.since", "is more than %d periods before until: ask for less, or by day", mostUsagePeriods)
	}
	return f, nil
}
