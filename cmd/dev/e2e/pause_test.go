package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A paused webhook's deliveries are deferred: new ones, and those whose retry becomes due. When it is resumed, all
// arrive soon, and each once.
func TestWebhookThatIsPaused(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t)
	hook, eventType := c.webhook(r.URL, nil)
	pause := func(paused bool) {
		c.do(http.MethodPatch, "/v1/webhooks/"+hook, object{"paused": paused}, http.StatusOK)
	}
	first := c.publish(eventType, object{"n": 0})
	waitFor(t, "the first to arrive", func() bool { return len(r.requests()) == 1 })
	pause(true)
	events := map[string]bool{}
	for i := range 20 {
		id := c.publish(eventType, object{"n": i})
		require.Equal(t, hook+"-drain", c.do(http.MethodGet, "/v1/events/"+id, nil, http.StatusOK)["workflow_id"])
		events[id] = true
	}
	waitFor(t, "the drain", func() bool {
		return describe(t, c, hook+"-drain").WorkflowExecutionInfo.Status == "WORKFLOW_EXECUTION_STATUS_RUNNING"
	})
	waitFor(t, "the drain to wait", func() bool {
		pending := describe(t, c, hook+"-drain").PendingActivities
		return len(pending) == 1 && pending[0].NextAttemptScheduleTime != ""
	})
	require.Len(t, r.requests(), 1)
	begun := time.Now()
	pause(false)
	waitFor(t, "all to arrive", func() bool { return len(r.requests()) == 21 })
	require.Less(t, time.Since(begun), time.Minute, "the drain would have looked again in 5 minutes")
	for _, got := range r.requests() {
		delete(events, got.Header.Get("Webhook-Id"))
	}
	require.Empty(t, events)
	waitFor(t, "the drain to end", func() bool {
		return describe(t, c, hook+"-drain").WorkflowExecutionInfo.Status == "WORKFLOW_EXECUTION_STATUS_COMPLETED"
	})
	require.Len(t, r.requests(), 21)
	require.Equal(t, first, c.do(http.MethodGet, "/v1/events/"+first, nil, http.StatusOK)["workflow_id"])
}
