package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Operational event types can be subscribed to like any other type. No client can publish such an event, on any
// surface, or take its name.
func TestOperationalEventTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var names []string
	for _, e := range f.get(t, "/v1/event-types").list(t, "event_types")[9:] {
		require.Equal(t, true, e["built_in"])
		require.NotEmpty(t, e["description"])
		names = append(names, e["name"].(string))
	}
	require.Equal(t, []string{"webhook.disabled", "webhook.recovered", "delivery.failed"}, names)
	f.exec(t, `insert into event_types (tenant_id, name) values ($1, 'delivery.failed')`, [16]byte(hook.DefaultTenant()))
	require.Len(t, f.get(t, "/v1/event-types").list(t, "event_types"), 12, "a tenant's own of before is hidden")

	const ours = "published by this service only"
	for _, name := range names {
		f.newWebhook(t, name)
		f.post(t, "/webhooks", `{"url":"https://yourapp.com/webhook","topic":"`+name+`"}`).object(t, http.StatusOK)
		f.post(t, "/v1/events", `{"type":"`+name+`","data":{}}`).refused(t, "body.type", ours)
		f.post(t, "/events", `{"topic":"`+name+`","data":{}}`).refused(t, "body.topic", ours)
		batch := f.post(t, "/v1/events/batch", `{"events":[{"type":"`+name+`","data":{}},{"type":"user.created","data":{}}]}`).object(t, http.StatusAccepted)
		require.EqualValues(t, 1, batch["accepted"])
		require.EqualValues(t, 1, batch["refused"])
		f.do(t, http.MethodPut, "/v1/event-types/"+name, `{}`, nil).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	}
	// A topic of Momento's may have such a name.
	require.Equal(t, http.StatusNoContent, f.do(t, http.MethodPost, "/topics/chat/delivery.failed", "text", map[string]string{"Content-Type": "text/plain"}).status)
}
