package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// replay starts a replay of the last hour and returns its path.
func (c *apiClient) replay(hook string, body object) string {
	body["since"] = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	return "/v1/replays/" + c.do(http.MethodPost, "/v1/webhooks/"+hook+"/replay", body, http.StatusAccepted)["id"].(string)
}

// A replay, which is a workflow of its own, sends the events published before the webhook existed and the
// deliveries that failed for good, each once.
func TestReplay(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	before := newRecorder(t)
	_, eventType := c.webhook(before.URL, nil)
	missed := map[string]bool{}
	for i := range 30 {
		missed[c.publish(eventType, object{"n": i})] = true
	}
	r := newRecorder(t, status(500), status(200))
	hook := c.do(http.MethodPost, "/v1/webhooks", object{"url": r.URL, "events": []string{eventType}, "max_attempts": 1}, http.StatusCreated)["id"].(string)
	failed := c.publish(eventType, object{"n": "failed"})
	require.Equal(t, "failed", c.settled(hook)["status"])

	ended := func(path string) object {
		var got object
		waitFor(t, path+" to end", func() bool {
			got = c.do(http.MethodGet, path, nil, http.StatusOK)
			return got["ended_at"] != nil
		})
		return got
	}
	path := c.replay(hook, object{"status": "missing", "rate": 200})
	got := ended(path)
	require.Equal(t, "completed", got["state"])
	require.Equal(t, object{"succeeded": 30.0, "failed": 0.0, "canceled": 0.0, "outstanding": 0.0}, got["progress"])
	for _, request := range r.requests()[1:] {
		delete(missed, request.Header.Get("Webhook-Id"))
	}
	require.Empty(t, missed)
	require.Len(t, r.requests(), 31)
	waitFor(t, "the workflow to end", func() bool {
		return describe(t, c, got["id"].(string)).WorkflowExecutionInfo.Status == "WORKFLOW_EXECUTION_STATUS_COMPLETED"
	})

	n := c.do(http.MethodPost, "/v1/webhooks/"+hook+"/replay", object{"status": "failed", "dry_run": true, "since": time.Now().Add(-time.Hour).UTC()}, http.StatusOK)
	require.Equal(t, object{"dry_run": true, "events": 1.0, "complete": true}, n)
	got = ended(c.replay(hook, object{"status": "failed"}))
	require.EqualValues(t, 1, got["created"])
	last := r.requests()[len(r.requests())-1]
	require.Equal(t, failed, last.Header.Get("Webhook-Id"))
	require.Equal(t, "1", last.Header.Get("X-Webhook-Attempt"))
	require.Len(t, r.requests(), 32)
	require.Len(t, before.requests(), 31, "other webhooks get nothing again")
}

// A replay can be paused and canceled: a canceled replay sends nothing more.
func TestReplayIsCanceled(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	_, eventType := c.webhook(newRecorder(t).URL, nil)
	list := make([]object, 200)
	for i := range list {
		list[i] = object{"type": eventType, "data": i}
	}
	c.do(http.MethodPost, "/v1/events/batch", object{"events": list}, http.StatusAccepted)
	r := newRecorder(t)
	hook := c.do(http.MethodPost, "/v1/webhooks", object{"url": r.URL, "events": []string{eventType}}, http.StatusCreated)["id"].(string)
	path := c.replay(hook, object{"status": "all", "rate": 4})
	waitFor(t, "some to arrive", func() bool { return len(r.requests()) >= 8 })
	c.do(http.MethodPost, path+"/pause", nil, http.StatusOK)
	waitFor(t, "it to stop", func() bool {
		got := c.do(http.MethodGet, path, nil, http.StatusOK)
		return got["state"] == "paused" && got["progress"].(object)["outstanding"] == 0.0
	})
	sent := len(r.requests())
	require.Less(t, sent, 100)
	c.do(http.MethodPatch, path, object{"rate": 50}, http.StatusOK)
	c.do(http.MethodPost, path+"/resume", nil, http.StatusOK)
	waitFor(t, "it to go on", func() bool { return len(r.requests()) > sent })
	got := c.do(http.MethodPost, path+"/cancel", nil, http.StatusOK)
	require.Equal(t, "canceled", got["state"])
	waitFor(t, "its workflow to end", func() bool {
		return describe(t, c, got["id"].(string)).WorkflowExecutionInfo.Status == "WORKFLOW_EXECUTION_STATUS_COMPLETED"
	})
	require.Less(t, len(r.requests()), 200)
}

// A6: a replay over several webhooks sends to each what it has missed or failed to get, in one workflow. A webhook whose
// deliveries are not taken does not stop the others.
func TestReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	first := newRecorder(t, status(500))
	_, eventType := c.webhook(first.URL, object{"max_attempts": 1})
	for i := range 20 {
		c.publish(eventType, object{"n": i})
	}
	waitFor(t, "all to fail", func() bool {
		return len(c.do(http.MethodGet, "/v1/deliveries?undelivered=true&event_type="+eventType+"&limit=100", nil, http.StatusOK)["deliveries"].([]any)) == 20
	})
	late := newRecorder(t)
	create := func(url string) string {
		return c.do(http.MethodPost, "/v1/webhooks", object{"url": url, "events": []string{eventType}}, http.StatusCreated)["id"].(string)
	}
	second, held := create(late.URL), create(late.URL)
	c.do(http.MethodPatch, "/v1/webhooks/"+held, object{"paused": true}, http.StatusOK)
	since := time.Now().Add(-time.Hour).UTC()
	request := object{"webhook_ids": []string{second, held}, "since": since, "status": "missing", "event_types": []string{eventType}, "rate": 200, "dry_run": true}
	require.EqualValues(t, 40, c.do(http.MethodPost, "/v1/replays", request, http.StatusOK)["events"])
	delete(request, "dry_run")
	path := "/v1/replays/" + c.do(http.MethodPost, "/v1/replays", request, http.StatusAccepted)["id"].(string)
	waitFor(t, "the webhook that takes them to have them all", func() bool { return len(late.requests()) == 20 })
	var got object
	waitFor(t, "them to be recorded", func() bool {
		got = c.do(http.MethodGet, path, nil, http.StatusOK)
		return got["progress"].(object)["outstanding"] == float64(20)
	})
	require.Equal(t, "running", got["state"])
	c.do(http.MethodPatch, "/v1/webhooks/"+held, object{"paused": false}, http.StatusOK)
	waitFor(t, "it to end", func() bool {
		got = c.do(http.MethodGet, path, nil, http.StatusOK)
		return got["ended_at"] != nil
	})
	require.Equal(t, "completed", got["state"])
	require.Len(t, late.requests(), 40)
	waitFor(t, "the workflow to end", func() bool {
		return describe(t, c, got["id"].(string)).WorkflowExecutionInfo.Status == "WORKFLOW_EXECUTION_STATUS_COMPLETED"
	})
}
