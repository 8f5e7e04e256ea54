package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// K3: --tenant names the tenant in every request, and without it nothing does.
func TestTenantIsNamed(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Values("Grapnel-Tenant")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"webhooks":[],"next_cursor":null}`))
	}))
	t.Cleanup(server.Close)
	require.Zero(t, command(t, "", "webhooks", "list", "--tenant=acme/1", "--url="+server.URL).code())
	require.Equal(t, []string{"acme/1"}, <-seen)
	require.Zero(t, command(t, "", "webhooks", "list", "--url="+server.URL).code())
	require.Empty(t, <-seen)
}

// K8: deleting a tenant must be confirmed with its name, or by --yes, and --wait shows the progress until it is gone.
func TestDeleteTenantIsConfirmed(t *testing.T) {
	t.Parallel()
	deleted := 0
	const tenant = `{"id":"ten_01kab1s6rzfkqbzry2kztmfpx1","name":"Acme","status":"deleting","metadata":{},"limits":{},"created_at":"2026-01-15T12:00:00Z",` +
		`"updated_at":"2026-01-15T12:00:00Z","deletion":{"requested_at":"2026-01-15T12:00:00Z","updated_at":"2026-01-15T12:00:00Z","phase":"erasing","webhooks":3,` +
		`"canceled":1,"erased":2,"deliveries":5,"workflow_id":"ten_01kab1s6rzfkqbzry2kztmfpx1-delete"}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodDelete:
			deleted++
			w.WriteHeader(http.StatusAccepted)
		case deleted > 0 && r.URL.Path != "/v1/tenants/acme":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(problem(t, http.StatusNotFound, "TENANT_NOT_FOUND", "tenant not found")))
			return
		}
		_, _ = w.Write([]byte(tenant))
	}))
	t.Cleanup(server.Close)
	url := "--url=" + server.URL
	for _, typed := range []string{"", "acme\n", "\n"} {
		r := command(t, typed, "tenants", "delete", "acme", url)
		require.NotZero(t, r.code())
		require.Contains(t, r.err, "Acme (ten_01kab1s6rzfkqbzry2kztmfpx1)")
	}
	require.Zero(t, deleted)
	r := command(t, "Acme\n", "tenants", "delete", "acme", url)
	require.Zero(t, r.code(), r.err)
	require.Contains(t, r.out, "erasing: 3 webhooks, 2 events and 5 deliveries deleted")
	require.Equal(t, 1, deleted)
	r = command(t, "", "tenants", "delete", "acme", "--yes", "--wait", url)
	require.Zero(t, r.code(), r.err)
	require.Contains(t, r.err, "erasing: 3 webhooks")
	require.Equal(t, "ten_01kab1s6rzfkqbzry2kztmfpx1 deleted\n", r.out)
}

// K8: suspending and resuming change the status.
func TestTenantStatus(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		seen <- r.Method + " " + r.URL.Path + " " + string(text)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"ten_1","name":"Acme","status":"active","metadata":{},"limits":{},"created_at":"2026-01-15T12:00:00Z","updated_at":"2026-01-15T12:00:00Z"}`))
	}))
	t.Cleanup(server.Close)
	for verb, status := range map[string]string{"suspend": "suspended", "resume": "active"} {
		require.Zero(t, command(t, "", "tenants", verb, "acme", "--url="+server.URL).code())
		require.Equal(t, `PATCH /v1/tenants/acme {"status":"`+status+`"}`, <-seen)
	}
}
