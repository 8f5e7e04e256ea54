package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

const portalSession = `{"id":"ps_01kab1s6rzfkqbzry2kztmfpx1","tenant":"ten_1","name":"Ali\u001bce","capabilities":["view","test"],` +
	`"created_at":"2026-01-15T12:00:00Z","expires_at":"2026-01-15T13:00:00Z"`

// recorded starts an API with one answer, and returns the --url flag for it. request has the last request: its method, path,
// tenant and body.
func recorded(t *testing.T, status int, body string) (flag string, request *string) {
	t.Helper()
	request = new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		*request = r.Method + " " + r.URL.Path + " " + r.Header.Get("Grapnel-Tenant") + " " + string(text)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return "--url=" + server.URL, request
}

// P2: portal create prints the link.
func TestPortalCreate(t *testing.T) {
	t.Parallel()
	const created = portalSession + `,"url":"https://hooks.example/console/#token=gps_x","token":"gps_x"}`
	flag, request := recorded(t, http.StatusCreated, created)
	r := command(t, "", "portal", "create", "--tenant=acme", "--capabilities=view,test", "--expires-in=90m", "--name=Alice", "--theme=dark", "--accent=#112233", flag)
	require.NoError(t, r.failed)
	require.Equal(t, `POST /v1/portal-sessions acme {"capabilities":["view","test"],"expires_in":5400,"name":"Alice","theme":{"accent":"#112233","mode":"dark"}}`, *request)
	require.Regexp(t, `^link +https://hooks.example/console/#token=gps_x\nid +ps_01kab1s6rzfkqbzry2kztmfpx1\ntenant +ten_1\nname +Ali·ce\ncapabilities +view,test\nexpires +2026-01-15 13:00:00Z\n$`, r.out)
	r = command(t, "", "portal", "create", "--capabilities=view", "--json", flag)
	require.JSONEq(t, created, r.out)
	require.Equal(t, `POST /v1/portal-sessions  {"capabilities":["view"],"expires_in":3600}`, *request)
	for _, wrong := range [][]string{{}, {"--capabilities=publish"}, {"--capabilities=view", "--expires-in=1500ms"}, {"--capabilities=view", "--theme=pink"}} {
		require.Equal(t, codeWrong, command(t, "", append([]string{"portal", "create", flag}, wrong...)...).code(), wrong)
	}
}

// P2: portal list shows the sessions, of all tenants with the tenant's id.
func TestPortalList(t *testing.T) {
	t.Parallel()
	flag, request := recorded(t, http.StatusOK, `{"portal_sessions":[`+portalSession+`}],"next_cursor":"AXAB"}`)
	r := command(t, "", "portal", "list", flag)
	require.NoError(t, r.failed)
	require.Regexp(t, `^ID +NAME +CAPABILITIES +CREATED +EXPIRES\nps_01kab1s6rzfkqbzry2kztmfpx1 +Ali·ce +view,test +2026-01-15 12:00:00Z +2026-01-15 13:00:00Z\n$`, r.out)
	require.Equal(t, "more entries: --cursor=AXAB\n", r.err)
	require.Regexp(t, `^TENANT +ID .*\nten_1 +ps_`, command(t, "", "portal", "list", "--tenant=*", flag).out)
	require.Equal(t, "GET /v1/portal-sessions * ", *request)
}

// P2: portal revoke ends one session, or all.
func TestPortalRevoke(t *testing.T) {
	t.Parallel()
	flag, request := recorded(t, http.StatusNoContent, "")
	r := command(t, "", "portal", "revoke", "ps_1", "--tenant=acme", flag)
	require.NoError(t, r.failed)
	require.Equal(t, "ps_1 revoked\n", r.out)
	require.Equal(t, "DELETE /v1/portal-sessions/ps_1 acme ", *request)
	flag, request = recorded(t, http.StatusOK, `{"revoked":3}`)
	r = command(t, "", "portal", "revoke", "--all", "--tenant=acme", flag)
	require.NoError(t, r.failed)
	require.Equal(t, "3 sessions revoked\n", r.out)
	require.Equal(t, "DELETE /v1/portal-sessions acme ", *request)
	for _, wrong := range [][]string{{}, {"ps_1", "--all"}} {
		require.Equal(t, codeWrong, command(t, "", append([]string{"portal", "revoke", flag}, wrong...)...).code())
	}
}
