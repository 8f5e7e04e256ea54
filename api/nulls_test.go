package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// In a PATCH, null removes a value that a webhook need not have and is refused elsewhere. It is never ignored silently.
func TestNullsInPatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const all = `{"url":"https://yourapp.com/webhook","events":["user.created"],"description":"mine","headers":{"X-A":"1"},"rate_limit":5,"trace_context":true,"timeout_seconds":7,"max_attempts":3,"secret":"whsec_abc123"}`
	path := "/v1/webhooks/" + f.post(t, "/v1/webhooks", all).object(t, http.StatusCreated)["id"].(string)
	before := f.get(t, path).object(t, http.StatusOK)
	for _, name := range []string{"url", "events", "secret", "active", "paused", "timeout_seconds", "max_attempts", "signature_schemes"} {
		a := f.do(t, http.MethodPatch, path, `{"description":"other","`+name+`":null}`, nil)
		a.refused(t, "body."+name, "must not be null")
		require.Len(t, a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors, 1)
	}
	require.Equal(t, before, f.get(t, path).object(t, http.StatusOK), "nothing was changed")
	f.do(t, http.MethodPatch, path, `{"url":null,"secret":null}`, nil).refused(t, "body.secret", "must not be null")
	f.do(t, http.MethodPatch, path, `{"nothing":null}`, nil).refused(t, "body.nothing", "unexpected property")
	for _, name := range []string{"description", "headers", "rate_limit", "trace_context"} {
		require.Contains(t, before, name)
		w := f.do(t, http.MethodPatch, path, `{"`+name+`":null}`, nil).object(t, http.StatusOK)
		require.NotContains(t, w, name)
		require.NotContains(t, f.get(t, path).object(t, http.StatusOK), name)
	}
	replay := f.replay(t, f.newWebhook(t, "user.created"), `{"since":"2026-01-01T00:00:00Z","status":"all"}`).object(t, http.StatusAccepted)
	f.do(t, http.MethodPatch, "/v1/replays/"+replay["id"].(string), `{"rate":null}`, nil).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
}
