package api_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// S10: an event with its deliveries, its workflow, and the webhooks without a delivery.
func TestGetEvent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	matched := f.newWebhook(t, "user.*")
	unsubscribed := f.newWebhook(t, "file.uploaded")
	inactive := f.newWebhook(t, "user.created")
	f.do(t, http.MethodPatch, "/v1/webhooks/"+inactive, `{"active":false}`, nil).object(t, http.StatusOK)
	id := f.publish(t, `{"id":"user_123"}`)
	later := f.newWebhook(t, "user.created")

	e := f.get(t, "/v1/events/"+id).object(t, http.StatusOK)
	require.Equal(t, id, e["id"])
	require.Equal(t, "user.created", e["type"])
	moment(t, e["created_at"])
	require.Equal(t, map[string]any{"id": "user_123"}, e["data"])
	require.EqualValues(t, 1, e["delivery_count"])
	require.Equal(t, id, e["workflow_id"])
	require.Equal(t, "http://ui.example/namespaces/default/workflows/"+id, e["workflow_url"])
	require.NotContains(t, e, "test")
	deliveries := objects(t, e["deliveries"])
	require.Len(t, deliveries, 1)
	require.Equal(t, matched, deliveries[0]["webhook_id"])
	require.Equal(t, "pending", deliveries[0]["status"])
	require.Equal(t, []any{
		map[string]any{"webhook_id": later, "reason": "created later"},
		map[string]any{"webhook_id": inactive, "reason": "inactive"},
		map[string]any{"webhook_id": unsubscribed, "reason": "not subscribed"},
	}, e["not_delivered_to"])

	// The event of a test is for one webhook only.
	test := f.post(t, "/v1/webhooks/"+matched+"/test", "").object(t, http.StatusOK)
	e = f.get(t, "/v1/events/"+test["event_id"].(string)).object(t, http.StatusOK)
	require.Equal(t, true, e["test"])
	require.NotContains(t, e, "workflow_id")
	require.Empty(t, e["not_delivered_to"])
	require.Len(t, e["deliveries"], 1)
}

// S10: newest first, filters, without tests.
func TestListEvents(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.Equal(t, map[string]any{"events": []any{}, "next_cursor": nil}, f.get(t, "/v1/events").object(t, http.StatusOK))
	const n = 7
	want := make([]string, n)
	for i := range n {
		want[n-1-i] = f.publish(t, "1")
	}
	webhook := f.newWebhook(t, "*")
	f.post(t, "/v1/webhooks/"+webhook+"/test", "").object(t, http.StatusOK)
	other := f.post(t, "/v1/events", `{"type":"file.uploaded","data":2}`).object(t, http.StatusAccepted)["id"].(string)

	require.Equal(t, append([]string{other}, want...), ids(f.get(t, "/v1/events").list(t, "events")))
	require.Equal(t, append([]string{other}, want...), f.pages(t, "/v1/events", "events", 3, n+1))
	require.Equal(t, []string{other}, ids(f.get(t, "/v1/events?type=file.uploaded").list(t, "events")))
	require.Empty(t, f.get(t, "/v1/events?type=nothing").list(t, "events"))
	entry := f.get(t, "/v1/events?limit=1").list(t, "events")[0]
	require.EqualValues(t, 1, entry["delivery_count"])
	require.Equal(t, other, entry["workflow_id"])
	require.EqualValues(t, 2, entry["data"])

	at := func(id string) string {
		parsed, err := hook.ParseEventID(id)
		require.NoError(t, err)
		return url.QueryEscape(parsed.Time().Format(time.RFC3339Nano))
	}
	since := ids(f.get(t, "/v1/events?since="+at(other)).list(t, "events"))
	require.Contains(t, since, other, "since is included")
	require.NotContains(t, ids(f.get(t, "/v1/events?until="+at(other)).list(t, "events")), other, "until is not")
	require.Empty(t, f.get(t, "/v1/events?until="+at(want[n-1])).list(t, "events"))
	require.Empty(t, f.get(t, "/v1/events?since=2999-01-01T00:00:00Z").list(t, "events"))
}
