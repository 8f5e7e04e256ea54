package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

// P2: what the answer that makes a session has, and what the list has.
func TestCreatePortalSession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme/1")
	made := f.post(t, "/v1/portal-sessions", `{"tenant":"acme/1","capabilities":["retry","test"],"expires_in":600,"name":"Alice","theme":{"mode":"dark","accent":"#112233","logo_text":"Acme"}}`).
		object(t, http.StatusCreated)
	token := made["token"].(string)
	require.Regexp(t, `^gps_[a-z2-7]{52}$`, token)
	require.Equal(t, f.server.URL+"/console/#token="+token, made["url"])
	require.Regexp(t, `^ps_[0-9a-z]{26}$`, made["id"])
	require.Equal(t, acme.String(), made["tenant"])
	require.Equal(t, []any{"view", "test", "retry"}, made["capabilities"])
	require.Equal(t, map[string]any{"mode": "dark", "accent": "#112233", "logo_text": "Acme"}, made["theme"])
	until, err := time.Parse(time.RFC3339, made["expires_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, moment(t, made["created_at"]).Add(600*time.Second), until, time.Second)

	delete(made, "token")
	delete(made, "url")
	require.Equal(t, []map[string]any{made}, f.naming("acme/1").get(t, "/v1/portal-sessions").list(t, "portal_sessions"))
	require.Equal(t, []map[string]any{made}, f.naming("*").get(t, "/v1/portal-sessions").list(t, "portal_sessions"))
	require.Empty(t, f.get(t, "/v1/portal-sessions").list(t, "portal_sessions"))

	// Without the rest, it is an hour.
	plain := f.naming("acme/1").post(t, "/v1/portal-sessions", `{"capabilities":["view"]}`).object(t, http.StatusCreated)
	require.NotContains(t, plain, "name")
	require.NotContains(t, plain, "theme")
	until, err = time.Parse(time.RFC3339, plain["expires_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), until, time.Minute)
	require.NotContains(t, f.log.String(), "gps_")
	require.NotContains(t, value[string](t, f, `select string_agg(row_to_json(p)::text, '') from portal_sessions p`), token[4:])
}

// P2: the link begins with the public URL.
func TestPortalURL(t *testing.T) {
	t.Parallel()
	for public, begins := range map[string]string{
		"https://hooks.example":        "https://hooks.example/console/#token=gps_",
		"https://hooks.example/under/": "https://hooks.example/under/console/#token=gps_",
	} {
		f := setup(t, func(d *api.Deps) { d.Config.PublicURL = public })
		made := f.post(t, "/v1/portal-sessions", `{"tenant":"default","capabilities":["view"]}`).object(t, http.StatusCreated)
		require.True(t, strings.HasPrefix(made["url"].(string), begins), made["url"])
	}
}

// P2: every wrong value is named.
func TestPortalSessionsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.customer(t, "acme")
	const path = "/v1/portal-sessions"
	for location, body := range map[string]string{
		"body.tenant":          `{"capabilities":["view"]}`,
		"body.capabilities":    `{"tenant":"acme","capabilities":[]}`,
		"body":                 `{"tenant":"acme"}`,
		"body.capabilities[0]": `{"tenant":"acme","capabilities":["publish"]}`,
		"body.expires_in":      `{"tenant":"acme","capabilities":["view"],"expires_in":59}`,
		"body.name":            `{"tenant":"acme","capabilities":["view"],"name":"a\u0000b"}`,
		"body.theme.accent":    `{"tenant":"acme","capabilities":["view"],"theme":{"accent":"#12345"}}`,
		"body.theme.mode":      `{"tenant":"acme","capabilities":["view"],"theme":{"mode":"pink"}}`,
		"body.theme.logo_text": `{"tenant":"acme","capabilities":["view"],"theme":{"logo_text":"a\nb"}}`,
		"body.theme.font":      `{"tenant":"acme","capabilities":["view"],"theme":{"font":"x"}}`,
		"body.scopes":          `{"tenant":"acme","capabilities":["view"],"scopes":["admin"]}`,
	} {
		f.post(t, path, body).refused(t, location, "")
	}
	for _, seconds := range []string{"604801", "1e30", "-60", "60.5"} {
		require.Contains(t, []int{400, 422}, f.post(t, path, `{"tenant":"acme","capabilities":["view"],"expires_in":`+seconds+`}`).status, seconds)
	}
	f.post(t, path, `{"tenant":"*","capabilities":["view"]}`).refused(t, "body.tenant", "one tenant")
	f.naming("acme").post(t, path, `{"tenant":"default","capabilities":["view"]}`).refused(t, "body.tenant", "another tenant")
	for _, name := range []string{"nobody", hook.TenantID{1}.String(), "ten_x", `a\u0000`} {
		p := f.post(t, path, `{"tenant":"`+name+`","capabilities":["view"]}`).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
		require.NotEmpty(t, p.at(t, "body.tenant"))
	}
	require.Empty(t, f.naming("*").get(t, path).list(t, "portal_sessions"))
}

// P2: platform keys make sessions, and a tenant's admin keys without a limit, for their own tenant.
func TestWhoMakesPortalSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	limited := f.naming("acme").post(t, "/v1/api-keys", `{"name":"limited","scopes":["admin"],"topics":["user.*"]}`).object(t, http.StatusCreated)["key"].(string)
	const body = `{"tenant":"acme","capabilities":["secrets","manage"]}`
	for name, c := range map[string]struct {
		key  string
		want int
	}{
		"platform":              {f.newKey(t, hook.DefaultTenant(), hook.ScopePlatform, hook.ScopeWebhooks), 201},
		"platform, to publish":  {f.newKey(t, hook.DefaultTenant(), hook.ScopePlatform, hook.ScopePublish), 403},
		"platform, to read":     {f.newKey(t, hook.DefaultTenant(), hook.ScopePlatform, hook.ScopeRead), 403},
		"its own admin":         {f.newKey(t, acme, hook.ScopeAdmin), 201},
		"its own, for webhooks": {f.newKey(t, acme, hook.ScopeWebhooks), 403},
		"limited to topics":     {limited, 403},
		"another tenant's":      {f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin), 404},
		"a session":             {f.newSession(t, acme, hook.Capabilities()...), 403},
	} {
		require.Equal(t, c.want, f.as(c.key).post(t, "/v1/portal-sessions", body).status, name)
		if c.want == http.StatusForbidden {
			f.as(c.key).get(t, "/v1/portal-sessions").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
			f.as(c.key).do(t, "DELETE", "/v1/portal-sessions", "", nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
		}
	}
	// A tenant's key need not name its tenant.
	own := f.as(f.newKey(t, acme, hook.ScopeAdmin)).post(t, "/v1/portal-sessions", `{"capabilities":["view"]}`).object(t, http.StatusCreated)
	require.Equal(t, acme.String(), own["tenant"])
}

// P2: the 1,001st session is refused.
func TestMostPortalSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	f.exec(t, `insert into portal_sessions (id, tenant_id, hash, capabilities, expires_at)
		select gen_random_uuid(), $1, sha256(n::text::bytea), '{view}', now() + interval '1 h' from generate_series(1, 1000) n`, [16]byte(acme))
	p := f.post(t, "/v1/portal-sessions", `{"tenant":"acme","capabilities":["view"]}`).problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
	require.Contains(t, p.Detail, "1000 portal sessions")
}

// P2: GET /v1/session says who a token is.
func TestCurrentSession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	f.do(t, "PATCH", "/v1/tenants/acme", `{"name":"Acme Ltd"}`, nil).object(t, http.StatusOK)
	session := func(key string) map[string]any {
		t.Helper()
		return f.as(key).get(t, "/v1/session").object(t, http.StatusOK)
	}
	tenant := map[string]any{"id": acme.String(), "name": "Acme Ltd", "external_id": "acme"}
	every := []any{"view", "test", "retry", "manage", "secrets", "keys"}

	platform := session(f.key)
	require.Equal(t, "platform", platform["kind"])
	require.Equal(t, append(every, "operator"), platform["capabilities"])
	require.NotContains(t, platform, "tenant")
	require.NotContains(t, platform, "expires_at")
	require.Equal(t, tenant, f.naming("acme").get(t, "/v1/session").object(t, http.StatusOK)["tenant"])

	for scope, want := range map[hook.Scope][]any{
		hook.ScopeAdmin: every, hook.ScopeWebhooks: every[:5], hook.ScopeRead: {"view"}, hook.ScopePublish: {}, hook.ScopeSubscribe: {},
	} {
		own := session(f.newKey(t, acme, scope))
		require.Equal(t, "tenant", own["kind"])
		require.Equal(t, want, own["capabilities"], scope)
		require.Equal(t, tenant, own["tenant"])
	}

	made := f.post(t, "/v1/portal-sessions", `{"tenant":"acme","capabilities":["manage"],"name":"Alice","theme":{"accent":"#112233"}}`).object(t, http.StatusCreated)
	require.Equal(t, map[string]any{
		"kind": "portal", "tenant": tenant, "capabilities": []any{"view", "manage"}, "name": "Alice",
		"theme": map[string]any{"accent": "#112233"}, "expires_at": made["expires_at"],
	}, session(made["token"].(string)))
}
