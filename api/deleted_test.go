package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// The log of a deleted webhook is still readable, and marked, on each surface. Only its tenant can read it, and nothing
// else of the webhook is left.
func TestLogOfADeletedWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, key := f.newTenant(t)
	standard, commenda, momento := f.newWebhook(t, "user.created"), f.newCommendaWebhook(t, "user.created"), f.newMomentoWebhook(t)
	f.deliver(t, standard, hook.Attempt{StatusCode: http.StatusOK})
	f.say(t, "own", "quiet", "hello")
	for path, log := range map[string]string{
		"/v1/webhooks/" + standard: "/v1/webhooks/" + standard + "/deliveries",
		"/webhooks/" + commenda:    "/webhooks/" + commenda + "/deliveries",
		named("own", momento):      named("own", momento) + "/deliveries",
	} {
		before := f.get(t, log).object(t, http.StatusOK)
		require.NotContains(t, before, "webhook_deleted_at")
		require.Len(t, before["deliveries"], 1)
		require.Equal(t, http.StatusNoContent, f.do(t, http.MethodDelete, path, "", nil).status)
		after := f.get(t, log).object(t, http.StatusOK)
		moment(t, after["webhook_deleted_at"])
		deliveries := objects(t, after["deliveries"])
		require.Len(t, deliveries, 1)
		require.Equal(t, objects(t, before["deliveries"])[0]["id"], deliveries[0]["id"])
		require.Contains(t, []any{"success", "canceled"}, deliveries[0]["status"])
		f.as(key).get(t, log).problem(t, http.StatusNotFound, "NOT_FOUND")
		f.do(t, http.MethodDelete, path, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	f.get(t, "/v1/webhooks/"+standard).problem(t, http.StatusNotFound, "NOT_FOUND")
	f.get(t, "/v1/webhooks/hook_01kab1s6rzfkqbzry2kztmfpx1/deliveries").problem(t, http.StatusNotFound, "NOT_FOUND")
	f.get(t, named("own", "never")+"/deliveries").problem(t, http.StatusNotFound, "NOT_FOUND")

	// Surfaces don't find logs of other profiles, and a name finds the log of its last webhook.
	f.get(t, "/webhooks/"+standard+"/deliveries").problem(t, http.StatusNotFound, "NOT_FOUND")
	f.put(t, "own", momento, "quiet")
	log := f.get(t, named("own", momento)+"/deliveries").object(t, http.StatusOK)
	require.NotContains(t, log, "webhook_deleted_at")
	require.Empty(t, log["deliveries"])
}
