package cli

import (
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
