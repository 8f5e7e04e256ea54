package e2e

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// S7, S11: data that meets the schema of its event type is delivered, other data is refused, and a test delivery
// sends the schema's example.
func TestSchemaOfAType(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t)
	hook, eventType := c.webhook(r.URL, object{"secret": "whsec_abc123"})
	schema := object{
		"type": "object", "required": []string{"id", "email"}, "additionalProperties": false,
		"properties": object{"id": object{"type": "string", "pattern": "^in_[0-9]+$"}, "email": object{"type": "string", "format": "email"}},
	}
	put := c.do(http.MethodPut, "/v1/event-types/"+eventType, object{"schema": schema}, http.StatusOK)
	require.Equal(t, object{"id": "in_1", "email": "john@example.com"}, put["example"])

	bad := object{"id": "7", "email": "jane", "more": true}
	for path, member := range map[string]string{"/v1/events": "type", "/events": "topic"} {
		answer := c.do(http.MethodPost, path, object{member: eventType, "data": bad}, http.StatusUnprocessableEntity)
		var places []any
		for _, e := range answer["errors"].([]any) {
			places = append(places, e.(object)["location"])
		}
		require.Equal(t, []any{"body/data", "body/data/email", "body/data/id"}, places)
	}
	require.Equal(t, "success", c.do(http.MethodPost, "/v1/webhooks/"+hook+"/test", nil, http.StatusOK)["status"])
	good := object{"id": "in_7", "email": "jane@example.com"}
	c.publish(eventType, good)
	require.Equal(t, "success", c.settled(hook)["status"])

	got := r.requests()
	require.Len(t, got, 2, "nothing of what was refused")
	for i, want := range []any{put["example"], good} {
		var body object
		require.NoError(t, json.Unmarshal(got[i].Body, &body))
		require.Equal(t, want, body["data"])
		require.Equal(t, hmacHex("whsec_abc123", got[i].Body), got[i].Header.Get("X-Webhook-Signature"))
	}
	c.do(http.MethodPut, "/v1/event-types/"+eventType, object{}, http.StatusOK)
	c.publish(eventType, bad)
}
