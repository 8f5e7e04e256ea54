package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A paused webhook stays active; events for it are accepted and wait.
func TestPauseAWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	created := f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["user.created"],"paused":true}`).object(t, http.StatusCreated)
	require.Equal(t, true, created["paused"])
	path := "/v1/webhooks/" + created["id"].(string)
	require.Equal(t, "paused by the client: deliveries wait", created["status_reason"])
	f.post(t, "/v1/events", `{"type":"user.created","data":{}}`).object(t, http.StatusAccepted)
	require.Empty(t, f.dispatched.events())
	require.Len(t, f.dispatched.drains, 1)

	for _, step := range []struct {
		body   string
		paused bool
	}{{`{"paused":false}`, false}, {`{"description":"x"}`, false}, {`{"paused":true}`, true}, {`{"description":"y"}`, true}, {`{"paused":true}`, true}} {
		w := f.do(t, http.MethodPatch, path, step.body, nil).object(t, http.StatusOK)
		require.Equal(t, step.paused, w["paused"], step.body)
		require.Equal(t, true, w["active"])
		require.Equal(t, w, f.get(t, path).object(t, http.StatusOK))
	}
	deliveries := f.get(t, path+"/deliveries").object(t, http.StatusOK)["deliveries"].([]any)
	require.Len(t, deliveries, 1)
	require.Equal(t, "pending", deliveries[0].(map[string]any)["status"])

	f.do(t, http.MethodPatch, path, `{"paused":"yes"}`, nil).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
}
