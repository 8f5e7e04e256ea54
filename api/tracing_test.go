package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A webhook can turn its trace header on and off; only a standard webhook can.
func TestTraceContextIsAskedFor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	plain := f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["*"]}`).object(t, http.StatusCreated)
	require.NotContains(t, plain, "trace_context")
	w := f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["*"],"trace_context":true}`).object(t, http.StatusCreated)
	require.Equal(t, true, w["trace_context"])
	path := "/v1/webhooks/" + w["id"].(string)
	require.Equal(t, true, f.get(t, path).object(t, http.StatusOK)["trace_context"])
	require.NotContains(t, f.do(t, http.MethodPatch, path, `{"trace_context":false}`, nil).object(t, http.StatusOK), "trace_context")
	require.NotContains(t, f.do(t, http.MethodPatch, path, `{"description":"x"}`, nil).object(t, http.StatusOK), "trace_context")
	require.Equal(t, true, f.do(t, http.MethodPatch, path, `{"trace_context":true}`, nil).object(t, http.StatusOK)["trace_context"])

	f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["A"],"profile":"commenda","trace_context":true}`).
		refused(t, "body.trace_context", "only standard webhooks can have it: requests of the others have the headers of the system they stand for")
	f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["A"],"profile":"commenda","trace_context":false}`).object(t, http.StatusCreated)
}
