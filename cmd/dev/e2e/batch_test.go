package e2e

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// S9: every valid event of a batch is delivered once and signed. An invalid one is reported at its index and not
// delivered.
func TestBatchIsDelivered(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t)
	hook, eventType := c.webhook(r.URL, object{"secret": "whsec_abc123"})
	bad := map[int]string{17: "unknown." + eventType, 31: ""}
	var events []object
	for i := range 50 {
		name := eventType
		if other, ok := bad[i]; ok {
			name = other
		}
		events = append(events, object{"type": name, "data": object{"place": i}})
	}
	answer := c.do(http.MethodPost, "/v1/events/batch", object{"events": events}, http.StatusAccepted)
	require.EqualValues(t, 48, answer["accepted"])
	require.EqualValues(t, 2, answer["refused"])
	places := map[string]int{}
	for i, result := range answer["results"].([]any) {
		if _, ok := bad[i]; ok {
			require.EqualValues(t, http.StatusUnprocessableEntity, result.(object)["status"])
			continue
		}
		places[result.(object)["event"].(object)["id"].(string)] = i
	}
	require.Len(t, places, 48)

	waitFor(t, "every delivery to succeed", func() bool {
		succeeded := 0
		for _, d := range c.deliveries(hook) {
			if d.(object)["status"] == "success" {
				succeeded++
			}
		}
		return succeeded == 48
	})
	got := r.requests()
	require.Len(t, got, 48)
	for _, request := range got {
		require.Equal(t, hmacHex("whsec_abc123", request.Body), request.Header.Get("X-Webhook-Signature"))
		require.Equal(t, eventType, request.Header.Get("X-Event-Type"))
		require.Equal(t, "1", request.Header.Get("X-Webhook-Attempt"))
		var body struct {
			ID   string
			Data struct{ Place int }
		}
		require.NoError(t, json.Unmarshal(request.Body, &body))
		place, ok := places[body.ID]
		require.True(t, ok, "%s once", body.ID)
		require.Equal(t, place, body.Data.Place)
		delete(places, body.ID)
	}
}
