package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The tenant gets signed deliveries of operational events: a delivery has failed for good, the webhook has
// recovered, another webhook was disabled. They come at once, before the sweeper's next run.
func TestOperationalEventsAreDelivered(t *testing.T) {
	t.Parallel()
	flags, err := freeFlags(t.Context())
	require.NoError(t, err)
	s := start(t, t.TempDir(), append(flags, "--no-receiver", "--metrics-addr=", quick)...)
	c := clientOf(t, s)
	told := newRecorder(t)
	ops := c.do(http.MethodPost, "/v1/webhooks", object{
		"url": told.URL, "secret": "whsec_abc123", "events": []string{"delivery.failed", "webhook.recovered", "webhook.disabled"},
	}, http.StatusCreated)["id"].(string)
	broken := newRecorder(t, status(500), status(500), status(200), status(410))
	hook, eventType := c.webhook(broken.URL, object{"max_attempts": 2})
	await := func(n int) object {
		waitFor(t, "the operational event", func() bool { return len(told.requests()) >= n })
		got := told.requests()[n-1]
		require.Equal(t, hmacHex("whsec_abc123", got.Body), got.Header.Get("X-Webhook-Signature"))
		var event object
		require.NoError(t, json.Unmarshal(got.Body, &event))
		require.Equal(t, got.Header.Get("X-Event-Type"), event["type"])
		require.Equal(t, hook, event["data"].(object)["webhook_id"])
		return event
	}

	event := c.publish(eventType, object{})
	failed := await(1)
	require.Equal(t, "delivery.failed", failed["type"])
	require.Equal(t, event, failed["data"].(object)["event_id"])
	require.EqualValues(t, 2, failed["data"].(object)["attempts"])
	delivery := c.do(http.MethodGet, "/v1/deliveries/"+failed["data"].(object)["delivery_id"].(string), nil, http.StatusOK)
	attempts := delivery["attempt_log"].([]any)
	began, err := time.Parse(time.RFC3339Nano, attempts[len(attempts)-1].(object)["started_at"].(string))
	require.NoError(t, err)
	require.Less(t, told.requests()[0].At.Sub(began), 4*time.Second, "the sweeper takes longer")

	c.publish(eventType, object{})
	require.Equal(t, "webhook.recovered", await(2)["type"])
	c.publish(eventType, object{})
	third := []any{await(3), await(4)}
	kinds := map[any]object{}
	for _, e := range third {
		kinds[e.(object)["type"]] = e.(object)["data"].(object)
	}
	require.Contains(t, kinds, "delivery.failed")
	require.Equal(t, "gone", kinds["webhook.disabled"]["reason"])
	require.Len(t, c.deliveries(ops), 4)
}
