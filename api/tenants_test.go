package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 7: the operator's key manages tenants. A new tenant gets a key of its own, which sees nothing of other tenants.
func TestTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	made := f.post(t, "/v1/tenants", `{"name":"acme"}`).object(t, http.StatusCreated)
	require.Regexp(t, `^ten_[0-7][0-9a-hjkmnp-tv-z]{25}$`, made["id"])
	require.Equal(t, "acme", made["name"])
	moment(t, made["created_at"])
	key := made["api_key"].(map[string]any)
	require.Equal(t, []any{"admin"}, key["scopes"])

	listed := f.get(t, "/v1/tenants").list(t, "tenants")
	require.Len(t, listed, 2)
	require.Equal(t, map[string]any{"id": made["id"], "name": "acme", "created_at": made["created_at"]}, listed[0])
	require.Equal(t, "default", listed[1]["name"])

	f.newWebhook(t, "user.created")
	acme := f.as(key["key"].(string))
	require.Empty(t, acme.get(t, "/v1/webhooks").list(t, "webhooks"))
	require.Len(t, acme.get(t, "/v1/api-keys").list(t, "api_keys"), 1)
	acme.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
	require.Empty(t, f.get(t, "/v1/events").list(t, "events"))
}

// Spec 7: no other key manages tenants, not even an admin key.
func TestOnlyTheOperatorManagesTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, other := f.newTenant(t)
	for _, c := range []*client{f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin)), f.as(other), f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead))} {
		c.post(t, "/v1/tenants", `{"name":"acme"}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
		c.get(t, "/v1/tenants").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	}
	require.Equal(t, 2, value[int](t, f, `select count(*) from tenants`))
}

func TestTenantRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for body, location := range map[string]string{
		`{}`:                 "body",
		`{"name":""}`:        "body.name",
		`{"name":" a"}`:      "body.name",
		`{"name":"a\u0000"}`: "body.name",
		`{"name":1}`:         "body.name",
		`{"name":"` + strings.Repeat("é", 101) + `"}`: "body.name",
		`{"name":"a","id":"x"}`:                       "body.id",
	} {
		f.post(t, "/v1/tenants", body).refused(t, location, "")
	}
	f.post(t, "/v1/tenants", `{"name":"default"}`).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	require.Equal(t, 1, value[int](t, f, `select count(*) from tenants`))
	require.Equal(t, 1, value[int](t, f, `select count(*) from api_keys`), "nothing half done")
	for i := range 4 {
		f.post(t, "/v1/tenants", `{"name":"t`+strings.Repeat("x", i)+`"}`).object(t, http.StatusCreated)
	}
	require.Len(t, f.pages(t, "/v1/tenants", "tenants", 2, 5), 5)
}
