package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// K10: the account's usage, by day and by hour.
func TestUsage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	delivery := f.deliver(t, webhook, hook.Attempt{StartedAt: time.Now(), StatusCode: 500, Class: hook.ClassStatus, Error: "HTTP 500"})
	f.sender.outcome = hook.Attempt{StartedAt: time.Now(), StatusCode: 200}
	f.post(t, "/v1/deliveries/"+delivery+"/retry", "").object(t, http.StatusOK)
	f.post(t, "/v1/webhooks/"+webhook+"/test", "").object(t, http.StatusOK)
	f.publish(t, `"two"`)
	want := map[string]any{"events": 2.0, "deliveries": 2.0, "attempts": 2.0, "successes": 1.0, "failures": 1.0, "bytes": float64(len(`{"id":"user_123"}`) + len(`"two"`))}
	for _, query := range []string{"", "?by=day", "?by=hour", "?by=hour&since=" + time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339)} {
		u := f.get(t, "/v1/usage"+query).object(t, http.StatusOK)
		require.Equal(t, want, u["total"], query)
		periods := objects(t, u["periods"])
		require.NotEmpty(t, periods)
		events := 0.0
		for _, p := range periods {
			events += p["events"].(float64)
		}
		require.InDelta(t, 2, events, 0)
	}
	_, key := f.newTenant(t)
	u := f.as(key).get(t, "/v1/usage").object(t, http.StatusOK)
	require.Empty(t, u["periods"])

	u = f.get(t, "/v1/usage?since=2026-01-02T10:30:00Z&until=2026-01-04T00:00:01Z").object(t, http.StatusOK)
	require.Equal(t, []any{"2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z", "day"}, []any{u["since"], u["until"], u["by"]})
	u = f.get(t, "/v1/usage?by=hour&until=2026-01-04T10:00:00Z").object(t, http.StatusOK)
	require.Equal(t, []any{"2026-01-03T10:00:00Z", "2026-01-04T10:00:00Z", "hour"}, []any{u["since"], u["until"], u["by"]})
	f.get(t, "/v1/usage?since=2026-01-03T00:00:00Z&until=2026-01-02T00:00:00Z").refused(t, "query.since", "after until")
	f.get(t, "/v1/usage?by=hour&since=2026-01-01T00:00:00Z&until=2026-02-20T00:00:00Z").refused(t, "query.since", "1000 periods")
	f.get(t, "/v1/usage?until=9999-12-31T23:59:59-12:00&by=hour").refused(t, "query.until", "9999")
	f.get(t, "/v1/usage?until=9999-12-31T23:30:00Z").refused(t, "query.until", "9999")
	f.get(t, "/v1/usage?since=0000-01-01T00:00:00Z&until=0001-01-01T00:00:00Z").refused(t, "query.since", "9999")
	f.get(t, "/v1/usage?by=week").refused(t, "query.by", "hour")
	limited := f.post(t, "/v1/api-keys", `{"name":"limited","scopes":["read"],"topics":["user.*"]}`).object(t, http.StatusCreated)
	f.as(limited["key"].(string)).get(t, "/v1/usage").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}
