package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/wait"
)

// The seed's example of retries: two answers of 500, then 200.
func TestRetriesUntilSuccess(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t, status(500), status(500), status(200))
	hook, eventType := c.webhook(r.URL, object{"secret": "whsec_abc123"})
	event := c.publish(eventType, object{"id": "user_123", "1": "<é>", "n": 1.0})
	d := c.settled(hook)
	require.Equal(t, "success", d["status"])
	require.EqualValues(t, 3, d["attempts"])
	require.EqualValues(t, 200, d["status_code"])
	require.NotContains(t, d, "error")
	require.Contains(t, d, "delivered_at")

	got := r.requests()
	require.Len(t, got, 3)
	for i, request := range got {
		require.Equal(t, got[0].Body, request.Body, "the same bytes on every attempt")
		require.Equal(t, strconv.Itoa(i+1), request.Header.Get("X-Webhook-Attempt"))
		require.Equal(t, eventType, request.Header.Get("X-Event-Type"))
		require.Equal(t, "application/json", request.Header.Get("Content-Type"))
		require.Equal(t, hmacHex("whsec_abc123", request.Body), request.Header.Get("X-Webhook-Signature"))
	}
	require.Regexp(t, `^\{"id":"`+event+`","type":"`+eventType+`","created_at":"[^"]+Z","data":\{"1":"<é>","id":"user_123","n":1\}\}$`, string(got[0].Body))
	require.GreaterOrEqual(t, got[1].At.Sub(got[0].At), 300*time.Millisecond)
	require.GreaterOrEqual(t, got[2].At.Sub(got[1].At), 400*time.Millisecond)
	require.Equal(t, "healthy", c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)["status"])
}

func hmacHex(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// S12: a failed delivery looks exactly like the seed's example, but for the explanation (A4).
func TestSeedsFailedExample(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t, status(500), status(500), hang)
	hook, eventType := c.webhook(r.URL, object{"max_attempts": 3, "timeout_seconds": 1})
	event := c.publish(eventType, object{})
	d := c.settled(hook)
	for _, name := range []string{"id", "event_id", "webhook_id", "event_type", "created_at", "explanation"} {
		require.Contains(t, d, name)
		delete(d, name)
	}
	require.Equal(t, object{"status": "failed", "status_code": 500.0, "attempts": 3.0, "error": "Connection timeout"}, d)
	require.Equal(t, "failed", c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)["status"])
	waitFor(t, "the workflow to fail", func() bool { return workflowStatus(t, c, event) == "WORKFLOW_EXECUTION_STATUS_FAILED" })
}

// A first attempt that outlasts a workflow task is made only once.
func TestSlowFirstAttemptIsMadeOnce(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(26 * time.Second):
			w.WriteHeader(http.StatusOK)
		case <-r.Context().Done():
		}
	})
	hook, eventType := c.webhook(r.URL, object{"timeout_seconds": 30})
	event := c.publish(eventType, object{})
	waitUpTo(t, time.Minute, "the answer", func() bool {
		list := c.deliveries(hook)
		return len(list) == 1 && list[0].(object)["status"] == "success"
	})
	require.EqualValues(t, 1, c.settled(hook)["attempts"])
	require.Len(t, r.requests(), 1)
	waitFor(t, "the workflow to complete", func() bool { return workflowStatus(t, c, event) == "WORKFLOW_EXECUTION_STATUS_COMPLETED" })
}

// S14: a delivery has at most five attempts. After the fifth failure the webhook is failed but active; a success
// makes it healthy again.
func TestFiveAttemptsThenFailed(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t, status(503), status(503), status(503), status(503), status(503), status(200))
	hook, eventType := c.webhook(r.URL, nil)
	c.publish(eventType, object{})
	d := c.settled(hook)
	require.Equal(t, "failed", d["status"])
	require.EqualValues(t, 5, d["attempts"])
	require.Equal(t, "HTTP 503 Service Unavailable", d["error"])
	require.Len(t, r.requests(), 5)
	w := c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)
	require.Equal(t, "failed", w["status"])
	require.Equal(t, true, w["active"])

	c.publish(eventType, object{})
	waitFor(t, "the next event", func() bool { return len(r.requests()) == 6 })
	require.Equal(t, "success", c.settled(hook)["status"])
	require.Equal(t, "healthy", c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)["status"])
}

// How the log records each behaviour of a receiver.
func TestReceivers(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	elsewhere := newRecorder(t)
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refused.Close())
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tlsServer.Close)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		url    string
		status string
		err    string
		class  string
	}{
		"ok":           {answer: status(204), status: "success"},
		"redirect":     {answer: redirect(elsewhere.URL), status: "failed", err: "HTTP 301 Moved Permanently", class: "redirect"},
		"server error": {answer: status(500), status: "failed", err: "HTTP 500 Internal Server Error", class: "status"},
		"hangs":        {answer: hang, status: "failed", err: "Connection timeout", class: "timeout"},
		"drips after 200": {answer: func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("."))
				w.(http.Flusher).Flush()
				_ = wait.For(r.Context(), stack.PollInterval)
			}
		}, status: "success"},
		"resets":          {answer: reset, status: "failed", err: "Connection reset", class: "reset"},
		"refuses":         {url: "http://" + refused.Addr().String(), status: "failed", err: "Connection refused", class: "refused"},
		"bad certificate": {url: tlsServer.URL, status: "failed", err: "TLS certificate verification failed: ", class: "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &apiClient{t: t, url: c.url, key: c.key, transport: c.transport}
			url := test.url
			if test.answer != nil {
				url = newRecorder(t, test.answer).URL
			}
			hook, eventType := c.webhook(url, object{"max_attempts": 1, "timeout_seconds": 1})
			c.publish(eventType, object{})
			d := c.settled(hook)
			require.Equal(t, test.status, d["status"])
			detail := c.do(http.MethodGet, "/v1/deliveries/"+d["id"].(string), nil, 200)
			attempt := detail["attempt_log"].([]any)[0].(object)
			if test.err == "" {
				require.NotContains(t, d, "error")
				require.NotContains(t, attempt, "error")
				return
			}
			require.Contains(t, d["error"], test.err)
			require.Equal(t, test.class, attempt["error"].(object)["class"])
		})
	}
	t.Cleanup(func() { require.Empty(t, elsewhere.requests(), "a redirect is never followed") })
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusMovedPermanently)
	}
}

// reset breaks the connection instead of answering.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// Spec 9: an answer of 410 disables the webhook and ends its deliveries.
func TestGoneDisables(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t, status(410))
	hook, eventType := c.webhook(r.URL, nil)
	c.publish(eventType, object{})
	d := c.settled(hook)
	require.Equal(t, "failed", d["status"])
	require.EqualValues(t, 1, d["attempts"])
	w := c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)
	require.Equal(t, "disabled", w["status"])
	require.Equal(t, "gone", w["status_reason"])
	require.Equal(t, false, w["active"])
	require.EqualValues(t, 0, c.do(http.MethodPost, "/v1/events", object{"type": eventType, "data": 1}, 202)["deliveries"])
}

// S5, S15: deleting or deactivating a webhook cancels its pending deliveries; retries use the current URL.
func TestChangesBetweenAttempts(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	bad, good := newRecorder(t, status(500)), newRecorder(t)
	hook, eventType := c.webhook(bad.URL, nil)
	c.publish(eventType, object{})
	waitFor(t, "the first attempt", func() bool { return len(bad.requests()) > 0 })
	c.do(http.MethodPatch, "/v1/webhooks/"+hook, object{"url": good.URL, "secret": "another one"}, 200)
	require.Equal(t, "success", c.settled(hook)["status"])
	got := good.requests()
	require.Len(t, got, 1)
	require.Equal(t, hmacHex("another one", got[0].Body), got[0].Header.Get("X-Webhook-Signature"))

	stop, stopType := c.webhook(bad.URL, nil)
	c.publish(stopType, object{})
	waitFor(t, "the first attempt", func() bool { return c.deliveries(stop)[0].(object)["attempts"].(float64) > 0 })
	c.do(http.MethodPatch, "/v1/webhooks/"+stop, object{"active": false}, 200)
	d := c.settled(stop)
	require.Equal(t, "canceled", d["status"])
	require.Equal(t, "Webhook disabled", d["error"])
	c.do(http.MethodDelete, "/v1/webhooks/"+stop, nil, 204)
	c.do(http.MethodGet, "/v1/webhooks/"+stop, nil, 404)
}

// S11, S13: test deliveries and manual retries.
func TestByHand(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t, status(200), status(500), status(200))
	hook, _ := c.webhook(r.URL, object{"active": false})
	d := c.do(http.MethodPost, "/v1/webhooks/"+hook+"/test", nil, 200)
	require.Equal(t, "success", d["status"], "a test is sent to an inactive webhook too")
	require.Equal(t, true, d["test"])
	require.Len(t, d["attempt_log"], 1)

	c.do(http.MethodPatch, "/v1/webhooks/"+hook, object{"active": true}, 200)
	failed := c.do(http.MethodPost, "/v1/webhooks/"+hook+"/test", object{"data": object{"hello": "there"}}, 200)
	require.Equal(t, "failed", failed["status"])
	require.NotContains(t, failed, "next_attempt_at", "a test is not retried")
	require.Contains(t, string(r.requests()[1].Body), `"data":{"hello":"there"}}`)

	retried := c.do(http.MethodPost, "/v1/deliveries/"+failed["id"].(string)+"/retry", nil, 200)
	require.Equal(t, "success", retried["status"])
	require.EqualValues(t, 2, retried["attempts"])
	require.NotContains(t, retried, "error")
	require.Equal(t, true, retried["attempt_log"].([]any)[1].(object)["manual"])
	c.do(http.MethodPost, "/v1/webhooks/hook_00000000000000000000000000/test", nil, 404)
}

// S16: a receiver that hangs does not delay other webhooks.
func TestOneHangingReceiverDelaysNobody(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t)
	slow, eventType := c.webhook(newRecorder(t, hang).URL, object{"timeout_seconds": 10, "max_attempts": 1})
	c.do(http.MethodPost, "/v1/webhooks", object{"url": r.URL, "events": []string{eventType}}, 201)
	for i := range 5 {
		c.publish(eventType, object{"i": i})
	}
	waitFor(t, "the healthy webhook's events", func() bool { return len(r.requests()) == 5 })
	for _, d := range c.deliveries(slow) {
		require.Equal(t, "pending", d.(object)["status"], "the slow one is still under way")
	}
	c.do(http.MethodDelete, "/v1/webhooks/"+slow, nil, 204)
}

// workflowStatus reads the status of an event's workflow from the Web UI's API.
func workflowStatus(t *testing.T, c *apiClient, workflowID string) string {
	t.Helper()
	event := c.do(http.MethodGet, "/v1/events/"+workflowID, nil, 200)
	require.Equal(t, workflowID, event["workflow_id"])
	require.Equal(t, c.ui+"/namespaces/default/workflows/"+workflowID, event["workflow_url"])
	return describe(t, c, workflowID).WorkflowExecutionInfo.Status
}

// described is the part of a workflow's description that these tests use.
type described struct {
	WorkflowExecutionInfo struct{ Status string }
	PendingActivities     []struct {
		Attempt                 int
		NextAttemptScheduleTime string
	}
}

// describe gets a workflow's description from the Web UI's API.
func describe(t *testing.T, c *apiClient, workflowID string) described {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/v1/namespaces/default/workflows/%s", c.ui, workflowID), nil)
	require.NoError(t, err)
	response, err := c.transport.Do(r)
	require.NoError(t, err)
	defer response.Body.Close() // the body is read to its end
	var out described
	require.NoError(t, json.NewDecoder(response.Body).Decode(&out))
	return out
}
