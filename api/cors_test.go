package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

const listedOrigin = "https://app.example.com"

// P2: a preflight of a listed origin is answered before the request is looked at; the store has a bug, and is not asked.
func TestPreflight(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) {
		d.Config.CORSOrigins = []string{listedOrigin, "http://localhost:3000"}
		d.Store = panicking{d.Store}
	})
	for _, path := range []string{"/v1/webhooks", "/v1/webhooks/x", "/v1/session", "/nothing"} {
		a := f.as("").do(t, http.MethodOptions, path, "", map[string]string{
			"Origin": listedOrigin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,grapnel-tenant",
		})
		require.Equal(t, http.StatusNoContent, a.status)
		require.Equal(t, listedOrigin, a.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "GET, POST, PUT, PATCH, DELETE", a.header.Get("Access-Control-Allow-Methods"))
		for _, name := range []string{"Authorization", "Content-Type", "Grapnel-Tenant", "Idempotency-Key", "If-None-Match"} {
			require.Contains(t, a.header.Get("Access-Control-Allow-Headers"), name)
		}
		require.Equal(t, "600", a.header.Get("Access-Control-Max-Age"))
		require.Empty(t, a.header.Get("Access-Control-Allow-Credentials"))
		require.Contains(t, a.header.Values("Vary"), "Origin")
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	}
}

// P2: answers to pages of a listed origin may be read by them, also errors, without credentials. Other origins get no
// header of CORS, and caches are told apart.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.CORSOrigins = []string{listedOrigin} })
	token := f.newSession(t, hook.DefaultTenant(), hook.CapabilityView)
	for key, status := range map[string]int{token: 200, "": 401} {
		a := f.as(key).do(t, "GET", "/v1/webhooks", "", map[string]string{"Origin": listedOrigin})
		require.Equal(t, status, a.status)
		require.Equal(t, listedOrigin, a.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "*", a.header.Get("Access-Control-Expose-Headers"))
		require.Empty(t, a.header.Get("Access-Control-Allow-Credentials"))
		require.Contains(t, a.header.Values("Vary"), "Origin")
	}
	for _, origin := range []string{
		"", "null", "https://evil.example", "https://app.example.com.evil.example", "https://app.example.com:8443", "http://app.example.com", "https://APP.example.com",
		listedOrigin + "/", "https://xapp.example.com",
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			a := f.as(token).do(t, method, "/v1/webhooks", "", map[string]string{"Origin": origin, "Access-Control-Request-Method": "GET"})
			require.Equal(t, map[string]int{"GET": 200, "OPTIONS": 405}[method], a.status, origin)
			for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers"} {
				require.Empty(t, a.header.Get(name), origin)
			}
			require.Contains(t, a.header.Values("Vary"), "Origin", origin)
		}
	}
	// An OPTIONS request that is no preflight is a request like any other.
	require.Equal(t, http.StatusMethodNotAllowed, f.do(t, "OPTIONS", "/v1/webhooks", "", map[string]string{"Origin": listedOrigin}).status)
}

// P2: by default nobody else may call the API.
func TestNoCrossOriginByDefault(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, method := range []string{"GET", "OPTIONS"} {
		a := f.do(t, method, "/v1/webhooks", "", map[string]string{"Origin": listedOrigin, "Access-Control-Request-Method": "GET"})
		require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
		require.Empty(t, a.header.Values("Vary"))
	}
}
