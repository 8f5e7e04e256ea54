package api

import (
	"context"
	"math"
	"net/http"
	"time"

	"grapnel/internal/hook"
)

type statsStore interface {
	Stats(ctx context.Context, f hook.StatsFilter) ([]hook.StatsPoint, error)
	StatsByWebhook(ctx context.Context, f hook.StatsFilter, limit int) ([]hook.WebhookStats, error)
}

// StatsCounts are the counts of a period.
type StatsCounts struct {
	Delivered      int64    `json:"delivered" doc:"Deliveries that ended with success." example:"40"`
	Failed         int64    `json:"failed" doc:"Deliveries that ended for good without success. Those canceled with their webhook are not counted." example:"1"`
	Attempts       int64    `json:"attempts" doc:"Requests, without tests." example:"44"`
	FailedAttempts int64    `json:"failed_attempts" doc:"Requests that were not answered with 2xx." example:"4"`
	LatencyP50     *float64 `json:"latency_p50_ms,omitempty" doc:"Half of the requests took at most about so many milliseconds. Absent if there were none." example:"38.2"`
	LatencyP99     *float64 `json:"latency_p99_ms,omitempty" doc:"99 of 100 requests took at most about so many milliseconds. Absent if there were none." example:"412"`
}

// StatsPoint is the counts of a minute, an hour or a day.
type StatsPoint struct {
	At time.Time `json:"at" doc:"The beginning of the period, in UTC." example:"2026-01-15T12:00:00Z"`
	StatsCounts
}

// WebhookStats is the counts of a webhook.
type WebhookStats struct {
	WebhookID string `json:"webhook_id" doc:"The webhook." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	StatsCounts
}

type stats struct {
	From   time.Time    `json:"from" doc:"The beginning of the first period: the request's from, rounded down." example:"2026-01-14T12:00:00Z"`
	To     time.Time    `json:"to" doc:"The end of the last period: the request's to, rounded up." example:"2026-01-15T13:00:00Z"`
	Step   string       `json:"step" enum:"minute,hour,day" doc:"The length of the periods." example:"hour"`
	Points []StatsPoint `json:"points" doc:"All periods, the earliest first, also those in which nothing happened."`
	Totals StatsCounts  `json:"totals" doc:"The same over all periods."`
}

type webhookStatsList struct {
	From     time.Time      `json:"from" doc:"The beginning of what is counted: the request's from, rounded down." example:"2026-01-14T12:00:00Z"`
	To       time.Time      `json:"to" doc:"The end of what is counted: the request's to, rounded up." example:"2026-01-15T13:00:00Z"`
	Webhooks []WebhookStats `json:"webhooks" doc:"At most 100 webhooks for which something was counted: first those with the most failed deliveries, then with the most failed attempts, then with the most attempts."`
}

// StatsQuery holds the query parameters of statistics. It is exported for the same reason as IDPath.
type StatsQuery struct {
	From    time.Time `query:"from" doc:"From the period of this time on. Default: 24 hours before to."`
	To      time.Time `query:"to" doc:"Up to the period of this time. Default: now."`
	Step    string    `query:"step" enum:"minute,hour,day" doc:"The length of the periods. Default: the shortest with which there are at most 120. Minutes are kept for 6 hours, hours for 35 days. Days are those of UTC."`
	Webhook string    `query:"webhook" maxLength:"64" doc:"Only this webhook."`
}

type (
	getStatsInput  struct{ StatsQuery }
	getStatsOutput struct{ Body stats }

	getWebhookStatsInput  struct{ StatsQuery }
	getWebhookStatsOutput struct{ Body webhookStatsList }
)

// Bounds of statistics: the time that they cover by default, the periods that they have by default and at most, and the webhooks
// of a list.
const (
	defaultStatsTime  = 24 * time.Hour
	usualStatsPoints  = 120
	mostStatsPoints   = 1000
	mostStatsWebhooks = 100
)

func (a *API) registerStats() {
	const late = "Latencies are estimates from ranges that grow by 1.6. Counts are 15 seconds late at most. With Grapnel-Tenant: *, those of all tenants."
	scopes := []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	register(a, operation{
		id: "get-stats", portal: portalView, method: http.MethodGet, path: "/v1/stats", tag: tagStandard, scopes: scopes, allTenants: true,
		summary:     "Get deliveries and latencies over time",
		description: "Deliveries that ended, attempts, and how long they took, by minute, hour or day, at most 1,000 periods, of all webhooks or one. " + late,
	}, a.getStats)
	register(a, operation{
		id: "list-webhook-stats", portal: portalView, method: http.MethodGet, path: "/v1/stats/webhooks", tag: tagStandard, scopes: scopes, allTenants: true,
		summary:     "Compare webhooks by their deliveries",
		description: "The counts of each webhook over a time, the worst first. " + late,
	}, a.listWebhookStats)
}

func (a *API) getStats(ctx context.Context, in *getStatsInput) (*getStatsOutput, error) {
	f, err := a.statsFilter(ctx, &in.StatsQuery)
	if err != nil {
		return nil, err
	}
	found, err := a.Store.Stats(ctx, f)
	if err != nil {
		return nil, err
	}
	length := f.Step.Length()
	out := &getStatsOutput{Body: stats{From: f.From, To: f.To, Step: string(f.Step), Points: make([]StatsPoint, 0, f.To.Sub(f.From)/length)}}
	var sum hook.Stats
	for at := f.From; at.Before(f.To); at = at.Add(length) {
		var one hook.Stats
		if len(found) > 0 && found[0].At.Equal(at) {
			one, found = found[0].Stats, found[1:]
		}
		sum.Add(&one)
		out.Body.Points = append(out.Body.Points, StatsPoint{At: at, StatsCounts: viewStats(&one)})
	}
	out.Body.Totals = viewStats(&sum)
	return out, nil
}

func (a *API) listWebhookStats(ctx context.Context, in *getWebhookStatsInput) (*getWebhookStatsOutput, error) {
	f, err := a.statsFilter(ctx, &in.StatsQuery)
	if err != nil {
		return nil, err
	}
	found, err := a.Store.StatsByWebhook(ctx, f, mostStatsWebhooks)
	if err != nil {
		return nil, err
	}
	return &getWebhookStatsOutput{Body: webhookStatsList{From: f.From, To: f.To, Webhooks: viewAll(found, func(w *hook.WebhookStats) WebhookStats {
		return WebhookStats{WebhookID: w.WebhookID.String(), StatsCounts: viewStats(&w.Stats)}
	})}}, nil
}

// statsFilter returns what a request asks for: whole periods, of a webhook, a tenant or all.
func (a *API) statsFilter(ctx context.Context, in *StatsQuery) (f hook.StatsFilter, err error) {
	if err := checkWholeAccount(ctx); err != nil {
		return f, err
	}
	f = hook.StatsFilter{Of: listed(ctx)}
	if in.Webhook != "" {
		if f.WebhookID, err = queriedWebhook(in.Webhook); err != nil {
			return f, err
		}
		if !f.Of.All {
			if _, err := a.Store.Webhook(ctx, f.Of.ID, f.WebhookID); err != nil {
				return f, err
			}
		}
	}
	return f, in.periods(&f, time.Now())
}

// queriedWebhook reads the query parameter webhook.
func queriedWebhook(text string) (hook.WebhookID, error) {
	id, err := hook.ParseWebhookID(text)
	if err != nil {
		return id, hook.Unprocessable("query.webhook", "is not the id of a webhook")
	}
	return id, nil
}

// periods adds the periods to a filter.
func (in *StatsQuery) periods(f *hook.StatsFilter, now time.Time) error {
	to, from := in.To.UTC(), in.From.UTC()
	if in.To.IsZero() {
		to = now.UTC()
	}
	if in.From.IsZero() {
		from = to.Add(-defaultStatsTime)
	}
	switch {
	case to.Year() > 9998 || to.Year() < 1: // rounding up must not lead out of RFC 3339
		return hook.Unprocessable("query.to", "must lie in the years 1 to 9998, in UTC")
	case from.Year() > 9998 || from.Year() < 1:
		return hook.Unprocessable("query.from", "must lie in the years 1 to 9998, in UTC")
	case from.After(to):
		return hook.Unprocessable("query.from", "must not be after to")
	}
	for _, step := range hook.StatsSteps() {
		length := step.Length()
		if in.Step != "" && in.Step != string(step) {
			continue
		}
		f.Step, f.From, f.To = step, from.Truncate(length), to.Truncate(length)
		if f.To.Before(to) || f.To.Equal(f.From) {
			f.To = f.To.Add(length)
		}
		points := f.To.Sub(f.From) / length
		gone := step.Kept() > 0 && now.Sub(f.From) > step.Kept()+length // a period that has begun is kept whole
		switch {
		case in.Step == "" && step != hook.StepDay && (gone || points > usualStatsPoints+1): // one more for a begun period
			continue
		case gone:
			return hook.Unprocessable("query.step", "is not possible from that time on: the counts of a %s are kept for %s; ask for longer periods, or a later from", step, textOfKept(step))
		case points > mostStatsPoints:
			return hook.Unprocessable("query.from", "is more than %d periods before to: ask for less, or for longer periods", mostStatsPoints)
		}
		return nil
	}
	return nil
}

func textOfKept(step hook.StatsStep) string {
	if step == hook.StepMinute {
		return "6 hours"
	}
	return "35 days"
}

func viewStats(s *hook.Stats) StatsCounts {
	return StatsCounts{
		Delivered: s.Delivered, Failed: s.Failed, Attempts: s.Attempts, FailedAttempts: s.FailedAttempts,
		LatencyP50: percentile(&s.Latencies, 0.5), LatencyP99: percentile(&s.Latencies, 0.99),
	}
}

// percentile returns a percentile as answers show it, with a digit after the point; nil if there are no requests.
func percentile(l *hook.Latencies, share float64) *float64 {
	ms, ok := l.Percentile(share)
	if !ok {
		return nil
	}
	ms = math.Round(ms*10) / 10
	return &ms
}
