package app_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// An API reports the state of a worker in its process, and accepts events without it.
func TestReadyWithoutTheWorker(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Roles.Worker = true
	r := start(t, o)
	r.awaitKey(t)
	status, body := r.do(t, http.MethodGet, "/readyz", "")
	require.Equal(t, http.StatusOK, status)
	var ready struct{ Checks map[string]string }
	require.NoError(t, json.Unmarshal([]byte(body), &ready))
	require.Equal(t, "unavailable", ready.Checks["worker"])
}
