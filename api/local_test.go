package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
)

// With --auth=none, a page of another site can neither change nor read anything: neither by a name that resolves to
// this machine, nor from another origin.
func TestNoAuthIsForThisMachine(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.NoAuth = true })
	send := func(method, path, host string, header map[string]string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, f.server.URL+path, strings.NewReader(seedBody))
		require.NoError(t, err)
		r.Host = host
		if host == "" {
			r.Host = r.URL.Host
		}
		r.Header.Set("Content-Type", "application/json")
		for name, value := range header {
			r.Header.Set(name, value)
		}
		response, err := f.server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	own := f.server.Listener.Addr().String()
	for _, host := range []string{"", "localhost", "localhost:8080", "LOCALHOST.", "127.0.0.1", "127.8.8.8:1", "[::1]:8080", "[::1]", "grapnel.localhost:8080", "[::ffff:127.0.0.1]"} {
		require.Equal(t, http.StatusOK, send(http.MethodGet, "/v1/webhooks", host, nil), host)
	}
	for _, header := range []map[string]string{
		{"Origin": "http://" + own}, {"Origin": "http://" + own, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"},
	} {
		require.Equal(t, http.StatusCreated, send(http.MethodPost, "/v1/webhooks", "", header), header)
	}
	before := value[int](t, f, `select count(*) from webhooks`)
	for _, host := range []string{"rebound.evil.example", "rebound.evil.example:8080", "localhost.evil.example", "notlocalhost", "10.0.0.1", "0.0.0.0:8080", "[::]:8080"} {
		for method, path := range map[string]string{http.MethodGet: "/v1/webhooks", http.MethodPost: "/v1/webhooks", http.MethodDelete: "/caches/a/webhooks/b"} {
			require.Equal(t, http.StatusForbidden, send(method, path, host, nil), host)
			require.Equal(t, http.StatusForbidden, send(method, path, host, map[string]string{"Origin": "http://" + host}), host)
		}
	}
	for _, header := range []map[string]string{
		{"Origin": "https://evil.example"},
		{"Origin": "null"},
		{"Origin": "http://localhost:1"},
		{"Origin": "http://" + own + ".evil.example"},
		{"Origin": "file://" + own},
		{"Origin": "http://" + own, "Sec-Fetch-Site": "cross-site"},
		{"Sec-Fetch-Site": "same-site"},
	} {
		require.Equal(t, http.StatusForbidden, send(http.MethodPost, "/v1/webhooks", "", header), header)
		require.Equal(t, http.StatusForbidden, send(http.MethodPost, "/topics/chat/room", "", header), header)
		require.Equal(t, http.StatusForbidden, send(http.MethodGet, "/v1/webhooks", "", header), header)
	}
	require.Equal(t, before, value[int](t, f, `select count(*) from webhooks`))
}

// With a key, other names and origins are allowed.
func TestKeysWorkByEveryName(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.do(t, http.MethodGet, "/v1/webhooks", "", map[string]string{"Origin": "https://app.example"})
	require.Equal(t, http.StatusOK, a.status)
}
