package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"

	"grapnel/internal/hook"
)

// TenantUsagePeriod is what a tenant has used in an hour or a day.
type TenantUsagePeriod struct {
	TenantID   string    `json:"tenant_id" doc:"The account. It may have been deleted." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	ExternalID string    `json:"external_id,omitempty" doc:"Your own id of the account; absent if it has none, or was deleted." example:"customer-4711"`
	Start      time.Time `json:"start" doc:"The period's beginning, in UTC." example:"2026-01-15T00:00:00Z"`
	UsageCounts
}

type tenantUsage struct {
	Since      time.Time           `json:"since" doc:"The beginning of the first period: the request's since, rounded down." example:"2026-01-01T00:00:00Z"`
	Until      time.Time           `json:"until" doc:"The end of the last period: the request's until, rounded up." example:"2026-02-01T00:00:00Z"`
	By         string              `json:"by" enum:"hour,day" doc:"The length of the periods." example:"day"`
	Total      *UsageCounts        `json:"total,omitempty" doc:"The sums over all periods. Absent for *."`
	Periods    []TenantUsagePeriod `json:"periods" doc:"This page of the periods in which something was used: tenant by tenant, in the order of their ids, the earliest period first."`
	NextCursor *string             `json:"next_cursor" nullable:"true" doc:"Cursor of the next page, which has the same since, until and by; null on the last page. A page ends after a bounded search, so it may be short or empty although more pages follow." example:"AXUBmrHU6q9ekr-Xz5m6pYVuAAAAAGlZ8AAAAAAAaTMUAAAAAABpgJUAAQ"`
}

type getTenantUsageInput struct {
	Tenant string `path:"tenant" maxLength:"1020" doc:"The account's id, ten_…, or your own id of it, percent-encoded; * for all." example:"customer-4711"`
	UsageQuery
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"1000" doc:"How many periods at most."`
	Cursor string `query:"cursor" maxLength:"100" doc:"next_cursor of the previous page. Absent: the first page. since and until need not be repeated."`
}

type getTenantUsageOutput struct {
	Body tenantUsage
}

func (a *API) registerTenantUsage() {
	register(a, operation{
		id: "get-tenant-usage", portal: portalClosed, method: http.MethodGet, path: "/v1/tenants/{tenant}/usage", tag: tagStandard, platform: true, large: true,
		scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}, summary: "Get a tenant's usage",
		description: "Counts of events, deliveries and attempts of an account by hour or day, at most 1,000 periods. With * those of every account, " +
			"for billing. Everything that is stored is counted at once and exactly. Counts are kept for 400 days (--usage-retention), also those " +
			"of accounts that were deleted. For platform keys.",
	}, a.getTenantUsage)
}

func (a *API) getTenantUsage(ctx context.Context, in *getTenantUsageInput) (*getTenantUsageOutput, error) {
	if err := checkWholeAccount(ctx); err != nil {
		return nil, err
	}
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	of := hook.TenantFilter{All: true}
	var t hook.Tenant
	if in.Tenant != hook.EveryTenant {
		if t, err = a.Store.FindTenant(ctx, in.Tenant); err != nil {
			return nil, err
		}
		of = hook.OneTenant(t.ID)
	}
	f, err := in.filter(of, time.Now())
	if err != nil {
		return nil, err
	}
	out := &getTenantUsageOutput{Body: tenantUsage{Since: f.Since, Until: f.Until, By: string(f.By)}}
	var list []hook.TenantUsage
	var next *hook.UsageMark
	if of.All {
		list, next, err = a.Store.UsageByTenant(ctx, f, after, in.Limit)
	} else {
		list, next, err = a.usageOf(ctx, &t, f, after, in.Limit, &out.Body)
	}
	if err != nil {
		return nil, err
	}
	answered(ctx, len(list)*entryBytes)
	out.Body.Periods = viewAll(list, viewTenantUsage)
	if next != nil {
		out.Body.NextCursor = nextUsage(&f, next)
	}
	return out, nil
}

// usageOf returns a page of a tenant's usage, and puts the sums over all of it into body.
func (a *API) usageOf(
	ctx context.Context, t *hook.Tenant, f hook.UsageFilter, after hook.UsageMark, limit int, body *tenantUsage,
) (page []hook.TenantUsage, next *hook.UsageMark, err error) {
	if after.TenantID != (hook.TenantID{}) && after.TenantID != t.ID {
		return nil, nil, badCursor()
	}
	all, err := a.Store.Usage(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	body.Total = &UsageCounts{}
	for i := range all {
		u := &all[i]
		body.Total.add(u)
		switch {
		case !u.Start.After(after.Start): // on an earlier page
		case len(page) == limit:
			next = &hook.UsageMark{TenantID: t.ID, Start: page[limit-1].Start}
		default:
			page = append(page, hook.TenantUsage{Usage: *u, ExternalID: t.ExternalID})
		}
	}
	return page, next, nil
}

func viewTenantUsage(u *hook.TenantUsage) TenantUsagePeriod {
	v := TenantUsagePeriod{TenantID: u.TenantID.String(), ExternalID: u.ExternalID, Start: u.Start}
	v.add(&u.Usage)
	return v
}

// A cursor of usage has the period that it is for, so that all pages are about the same one, whenever they are read.
const usageCursorLength = 2 + 16 + 3*8 + 1

// nextUsage returns the cursor of the page after a mark.
func nextUsage(f *hook.UsageFilter, mark *hook.UsageMark) *string {
	b := append([]byte{cursorVersion, listUsage}, mark.TenantID[:]...)
	for _, t := range []time.Time{mark.Start, f.Since, f.Until} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())) //nolint:gosec // two's complement, read back in the same way
	}
	text := base64.RawURLEncoding.EncodeToString(append(b, f.By[0]))
	return &text
}

// after returns the mark after which the page begins. since and until, if they are not given, become those of the first page.
func (in *getTenantUsageInput) after() (mark hook.UsageMark, err error) {
	if in.Cursor == "" {
		return mark, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(in.Cursor)
	if err != nil || len(b) != usageCursorLength || !bytes.HasPrefix(b, []byte{cursorVersion, listUsage}) {
		return mark, badCursor()
	}
	var times [3]time.Time
	for i := range times {
		times[i] = time.Unix(int64(binary.BigEndian.Uint64(b[18+8*i:])), 0).UTC() //nolint:gosec // see nextUsage
		if year := times[i].Year(); year < 1 || year > 9999 {
			return mark, badCursor()
		}
	}
	switch period := b[usageCursorLength-1]; {
	case period != hook.ByHour[0] && period != hook.ByDay[0]:
		return mark, badCursor()
	case in.By[0] != period:
		return mark, hook.Unprocessable("query.by", "must be the one of the first page")
	}
	for _, given := range []struct {
		name  string
		at    *time.Time
		first time.Time
		round time.Duration // what until is rounded up by
	}{{"since", &in.Since, times[1], 0}, {"until", &in.Until, times[2], hook.UsagePeriod(in.By).Length() - 1}} {
		if given.at.IsZero() {
			*given.at = given.first
		} else if !given.at.Add(given.round).UTC().Truncate(hook.UsagePeriod(in.By).Length()).Equal(given.first) {
			return mark, hook.Unprocessable("query."+given.name, "must be the one of the first page, or be left out")
		}
	}
	return hook.UsageMark{TenantID: hook.TenantID(b[2:18]), Start: times[0]}, nil
}
