package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// P6: the account's deliveries and latencies over time, and by webhook.
func TestStats(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	other := f.newWebhook(t, "user.deleted")
	f.deliver(t, webhook,
		hook.Attempt{StartedAt: time.Now(), Duration: 100 * time.Millisecond, StatusCode: 500, Class: hook.ClassStatus, Error: "HTTP 500"},
		hook.Attempt{StartedAt: time.Now(), Duration: 100 * time.Millisecond, StatusCode: 200})
	_, err := f.store.FoldUsage(t.Context(), 0)
	require.NoError(t, err)
	for query, points := range map[string]int{"": 25, "?step=hour": 25, "?step=day": 2, "?webhook=" + webhook: 25} {
		s := f.get(t, "/v1/stats"+query).object(t, http.StatusOK)
		totals := s["totals"].(map[string]any)
		require.InDelta(t, 100, totals["latency_p50_ms"], 25)
		require.InDelta(t, 100, totals["latency_p99_ms"], 25)
		delete(totals, "latency_p50_ms")
		delete(totals, "latency_p99_ms")
		require.Equal(t, map[string]any{"delivered": 1.0, "failed": 0.0, "attempts": 2.0, "failed_attempts": 1.0}, totals)
		list := objects(t, s["points"])
		require.InDelta(t, points, len(list), 1, query)
		require.Equal(t, s["from"], list[0]["at"])
		require.NotContains(t, list[0], "latency_p50_ms")
		attempts := 0.0
		for _, p := range list {
			attempts += p["attempts"].(float64)
		}
		require.InDelta(t, 2, attempts, 0)
	}
	s := f.get(t, "/v1/stats?webhook="+other).object(t, http.StatusOK)
	require.InDelta(t, 0, s["totals"].(map[string]any)["attempts"], 0)
	list := objects(t, f.get(t, "/v1/stats/webhooks").object(t, http.StatusOK)["webhooks"])
	require.Len(t, list, 1)
	require.Equal(t, webhook, list[0]["webhook_id"])
	require.InDelta(t, 1, list[0]["failed_attempts"], 0)

	_, key := f.newTenant(t)
	theirs := f.as(key)
	require.InDelta(t, 0, theirs.get(t, "/v1/stats").object(t, http.StatusOK)["totals"].(map[string]any)["attempts"], 0)
	require.Empty(t, theirs.get(t, "/v1/stats/webhooks").object(t, http.StatusOK)["webhooks"])
	theirs.get(t, "/v1/stats?webhook="+webhook).problem(t, http.StatusNotFound, "NOT_FOUND")
	every := f.naming("*")
	require.InDelta(t, 2, every.get(t, "/v1/stats").object(t, http.StatusOK)["totals"].(map[string]any)["attempts"], 0)
	require.InDelta(t, 2, every.get(t, "/v1/stats?webhook="+webhook).object(t, http.StatusOK)["totals"].(map[string]any)["attempts"], 0)
	require.Len(t, every.get(t, "/v1/stats/webhooks").object(t, http.StatusOK)["webhooks"], 1)
}

// P6: the periods of a request, and what is refused.
func TestStatsPeriods(t *testing.T) {
	t.Parallel()
	f := setup(t)
	now := time.Now().UTC()
	ago := func(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }
	for query, step := range map[string]string{
		"from=" + ago(time.Hour): "minute", "from=" + ago(2*time.Hour): "minute", "from=" + ago(3*time.Hour): "hour",
		"from=" + ago(5*24*time.Hour): "hour", "from=" + ago(6*24*time.Hour): "day", "from=" + ago(300*24*time.Hour): "day",
		"from=" + ago(20*24*time.Hour) + "&to=" + ago(20*24*time.Hour-time.Hour): "hour", // its minutes are gone
		"from=" + ago(50*24*time.Hour) + "&to=" + ago(49*24*time.Hour):           "day",
		"step=minute&from=" + ago(6*time.Hour-time.Minute):                       "minute",
		"step=hour&from=" + ago(35*24*time.Hour-time.Hour):                       "hour",
		"from=2026-01-15T00:00:00Z&to=2026-01-15T00:00:00Z":                      "day",
	} {
		s := f.get(t, "/v1/stats?"+query).object(t, http.StatusOK)
		require.Equal(t, step, s["step"], query)
		require.NotEmpty(t, s["points"])
		if step != "day" && query[:4] == "from" {
			require.LessOrEqual(t, len(objects(t, s["points"])), 121)
		}
	}
	s := f.get(t, "/v1/stats?step=day&from=2026-01-02T10:30:00Z&to=2026-01-04T00:00:01Z").object(t, http.StatusOK)
	require.Equal(t, []any{"2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z"}, []any{s["from"], s["to"]})
	require.Len(t, s["points"], 3)
	for _, path := range []string{"/v1/stats", "/v1/stats/webhooks"} {
		f.get(t, path+"?step=minute&from="+ago(7*time.Hour)).refused(t, "query.step", "6 hours")
		f.get(t, path+"?step=hour&from="+ago(40*24*time.Hour)).refused(t, "query.step", "35 days")
		f.get(t, path+"?step=day&from=2020-01-01T00:00:00Z").refused(t, "query.from", "1000 periods")
		f.get(t, path+"?from=2020-01-01T00:00:00Z").refused(t, "query.from", "1000 periods")
		f.get(t, path+"?from=2026-01-03T00:00:00Z&to=2026-01-02T00:00:00Z").refused(t, "query.from", "after to")
		f.get(t, path+"?to=9999-12-31T23:59:59Z").refused(t, "query.to", "9998")
		f.get(t, path+"?from=0000-01-01T00:00:00Z&to=0001-01-01T00:00:00Z").refused(t, "query.from", "9998")
		f.get(t, path+"?step=week").refused(t, "query.step", "minute")
		f.get(t, path+"?webhook=evt_1").refused(t, "query.webhook", "id of a webhook")
		f.get(t, path+"?webhook=%00").refused(t, "query.webhook", "id of a webhook")
		limited := f.post(t, "/v1/api-keys", `{"name":"limited","scopes":["read"],"topics":["user.*"]}`).object(t, http.StatusCreated)
		f.as(limited["key"].(string)).get(t, path).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	}
}
