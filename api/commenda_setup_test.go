package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// commendaURL is the URL of newCommendaWebhook's webhooks.
const commendaURL = "https://yourapp.com/webhook"

// register registers a Commenda webhook and returns the answer's data.
func (c *client) register(t *testing.T, body string) map[string]any {
	t.Helper()
	return c.post(t, "/webhooks", body).data(t, http.StatusOK, "Successfully registered webhook.")
}

// newCommendaWebhook registers a webhook and returns its id.
func (c *client) newCommendaWebhook(t *testing.T, topics ...string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"url": commendaURL, "topics": topics})
	require.NoError(t, err)
	return c.register(t, string(body))["id"].(string)
}

// webhookOf returns a webhook as the surface shows it.
func (c *client) webhookOf(t *testing.T, id string) map[string]any {
	t.Helper()
	return c.get(t, "/webhooks/"+id).data(t, http.StatusOK, "Successfully fetched webhook.")
}

// update updates a Commenda webhook.
func (c *client) update(t *testing.T, id, body string) map[string]any {
	t.Helper()
	return c.post(t, "/webhooks/"+id, body).data(t, http.StatusOK, "Successfully updated webhook.")
}

// publishTo publishes to a topic and returns the answer's data.
func (c *client) publishTo(t *testing.T, topic string) map[string]any {
	t.Helper()
	body, err := json.Marshal(map[string]any{"topic": topic, "data": map[string]any{"a": 1}})
	require.NoError(t, err)
	return c.post(t, "/events", string(body)).data(t, http.StatusAccepted, "Successfully accepted event.")
}

// data returns the answer's data. Besides it there is only the message.
func (a answer) data(t *testing.T, status int, message string) map[string]any {
	t.Helper()
	v := a.object(t, status)
	require.Equal(t, message, v["message"])
	require.Len(t, v, 2, "%s", a.body)
	return v["data"].(map[string]any)
}

// eventID reads an event's id as either surface shows it.
func eventID(t *testing.T, text any) hook.EventID {
	t.Helper()
	id, err := hook.ParseEventID(text.(string))
	require.NoError(t, err)
	return id
}

// receivers returns the webhooks that have a delivery of the event, as UUIDs.
func (f *fixture) receivers(t *testing.T, event any) []string {
	t.Helper()
	deliveries, err := f.store.DeliveriesOfEvent(t.Context(), eventID(t, event), 1000)
	require.NoError(t, err)
	var all []string
	for _, d := range deliveries {
		all = append(all, d.WebhookID.UUID())
	}
	return all
}

// uuid returns a webhook's id as the Commenda surface shows it.
func uuid(t *testing.T, text string) string {
	t.Helper()
	id, err := hook.ParseWebhookID(text)
	require.NoError(t, err)
	return id.UUID()
}

// typeID returns a webhook's id as the standard surface shows it.
func typeID(t *testing.T, text string) string {
	t.Helper()
	id, err := hook.ParseWebhookID(text)
	require.NoError(t, err)
	return id.String()
}
