package api_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	f := setup(t)
	stranger := f.as("")
	require.Equal(t, map[string]any{"status": "ok"}, stranger.get(t, "/healthz").object(t, http.StatusOK))
	require.Equal(t, map[string]any{"status": "ready", "checks": map[string]any{"database": "ok"}}, stranger.get(t, "/readyz").object(t, http.StatusOK))

	// Spec 10: readiness goes first.
	f.api.BeginShutdown()
	f.api.BeginShutdown()
	ready := stranger.get(t, "/readyz").object(t, http.StatusServiceUnavailable)
	require.Equal(t, "not ready", ready["status"])
	require.Equal(t, http.StatusOK, stranger.get(t, "/healthz").status)
	require.Equal(t, http.StatusOK, f.get(t, "/v1/webhooks").status, "what still comes is still served")
}

// S8: while Temporal is unavailable, events are accepted, so the API stays ready.
func TestReadyWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) {
		d.Reports = map[string]api.Check{"temporal": func(context.Context) error { return errors.New(marker) }}
	})
	a := f.as("").get(t, "/readyz")
	require.Equal(t, map[string]any{"status": "ready", "checks": map[string]any{"database": "ok", "temporal": "unavailable"}},
		a.object(t, http.StatusOK))
	require.NotContains(t, string(a.body), "MARKER")
	require.Contains(t, f.log.String(), "MARKER")
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) {
		d.Checks["admin_key"] = func(context.Context) error { return errors.New(marker) }
	})
	a := f.as("").get(t, "/readyz")
	require.Equal(t, map[string]any{"status": "not ready", "checks": map[string]any{"database": "ok", "admin_key": "unavailable"}},
		a.object(t, http.StatusServiceUnavailable))
	require.NotContains(t, string(a.body), "MARKER")
	require.Contains(t, f.log.String(), "MARKER")
	require.Equal(t, http.StatusOK, f.get(t, "/v1/webhooks").status)
}

func TestReadinessWaitsForMigrations(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(t, `delete from goose_db_version where version_id = (select max(version_id) from goose_db_version)`)
	f.get(t, "/readyz").object(t, http.StatusServiceUnavailable)
}
