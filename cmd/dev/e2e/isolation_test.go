package e2e

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Spec 9: an endpoint that refuses connections trips its breaker. Later deliveries to it are deferred, in one
// workflow and without using up attempts, while other webhooks get the same events at once. When the endpoint is
// back, all deferred deliveries arrive.
func TestEndpointThatIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	healthy := newRecorder(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	hook, eventType := c.webhook("http://"+addr+"/", nil)
	c.do(http.MethodPost, "/v1/webhooks", object{"url": healthy.URL, "events": []string{eventType}}, http.StatusCreated)
	reason := func() any { return c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)["status_reason"] }
	events := map[string]bool{}
	publish := func(n int) {
		for i := range n {
			events[c.publish(eventType, object{"n": i})] = true
		}
	}
	publish(20)
	waitFor(t, "the breaker to trip", func() bool { return reason() == "endpoint unavailable: deliveries wait for it" })
	publish(50)
	waitFor(t, "the others to have them", func() bool { return len(healthy.requests()) == 70 })
	waitFor(t, "the drain", func() bool {
		return describe(t, c, hook+"-drain").WorkflowExecutionInfo.Status == "WORKFLOW_EXECUTION_STATUS_RUNNING"
	})
	for _, d := range c.deliveries(hook) {
		require.LessOrEqual(t, d.(object)["attempts"], 2.0, "a deferred delivery uses up no attempts")
	}

	back := newRecorderAt(t, addr)
	waitUpTo(t, 2*time.Minute, "everything to arrive", func() bool {
		for _, r := range back.requests() {
			delete(events, r.Header.Get("Webhook-Id"))
		}
		return len(events) == 0
	})
	waitFor(t, "the webhook to be healthy", func() bool { return c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)["status"] == "healthy" })
	require.Nil(t, reason())
	waitFor(t, "the drain to end", func() bool {
		return describe(t, c, hook+"-drain").WorkflowExecutionInfo.Status == "WORKFLOW_EXECUTION_STATUS_COMPLETED"
	})
	require.Len(t, healthy.requests(), 70)
}

// Spec 9: a webhook's rate limit holds across workers, workflows and the drain.
func TestWebhookWithARateLimit(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t)
	hook, eventType := c.webhook(r.URL, object{"rate_limit": 10})
	list := make([]object, 60)
	for i := range list {
		list[i] = object{"type": eventType, "data": i}
	}
	c.do(http.MethodPost, "/v1/events/batch", object{"events": list}, http.StatusAccepted)
	waitFor(t, "all to arrive", func() bool { return len(r.requests()) == 60 })
	got := r.requests()
	for i := range got[:len(got)-11] {
		require.Greater(t, got[i+11].At.Sub(got[i].At), 900*time.Millisecond, "from request %d on", i)
	}
	waitFor(t, "all to be recorded", func() bool {
		page := c.do(http.MethodGet, "/v1/webhooks/"+hook+"/deliveries?limit=100&status=success", nil, 200)
		return len(page["deliveries"].([]any)) == 60
	})
}
