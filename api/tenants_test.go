package api_test

import (
	"fmt"
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
	require.Equal(t, map[string]any{
		"id": made["id"], "name": "acme", "status": "active", "metadata": map[string]any{}, "limits": map[string]any{},
		"created_at": made["created_at"], "updated_at": made["created_at"],
	}, listed[0])
	require.Equal(t, "default", listed[1]["name"])
	require.Equal(t, "default", listed[1]["external_id"])

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
		`{"name":"` + strings.Repeat("é", 101) + `"}`:                       "body.name",
		`{"name":"a","id":"x"}`:                                             "body.id",
		`{"name":"a","status":"suspended"}`:                                 "body.status",
		`{"name":"a","external_id":""}`:                                     "body.external_id",
		`{"name":"a","external_id":"ten_1"}`:                                "body.external_id",
		`{"name":"a","external_id":"*"}`:                                    "body.external_id",
		`{"name":"a","external_id":".."}`:                                   "body.external_id",
		`{"name":"a","external_id":" a"}`:                                   "body.external_id",
		`{"name":"a","external_id":"a\tb"}`:                                 "body.external_id",
		`{"name":"a","external_id":"` + strings.Repeat("a", 256) + `"}`:     "body.external_id",
		`{"name":"a","metadata":{"a":1}}`:                                   "body.metadata.a",
		`{"name":"a","metadata":{"":"b"}}`:                                  "body.metadata",
		`{"name":"a","metadata":{"a":"\u0000"}}`:                            "body.metadata.a",
		`{"name":"a","metadata":{"` + strings.Repeat("a", 65) + `":"b"}}`:   "body.metadata",
		`{"name":"a","metadata":{"a":"` + strings.Repeat("b", 1001) + `"}}`: "body.metadata.a",
		`{"name":"a","metadata":{` + pairs(51) + `}}`:                       "body.metadata",
		`{"name":"a","limits":{"max_webhooks":-1}}`:                         "body.limits.max_webhooks",
		`{"name":"a","limits":{"publish_rate":1000001}}`:                    "body.limits.publish_rate",
		`{"name":"a","limits":{"other":1}}`:                                 "body.limits.other",
	} {
		f.post(t, "/v1/tenants", body).refused(t, location, "")
	}
	f.post(t, "/v1/tenants", `{"name":"a","external_id":"default"}`).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	require.Equal(t, 1, value[int](t, f, `select count(*) from tenants`))
	require.Equal(t, 1, value[int](t, f, `select count(*) from api_keys`), "nothing half done")
	f.post(t, "/v1/tenants", `{"name":"default"}`).object(t, http.StatusCreated) // names need not be unique
	for i := range 4 {
		f.post(t, "/v1/tenants", `{"name":"t`+strings.Repeat("x", i)+`"}`).object(t, http.StatusCreated)
	}
	require.Len(t, f.pages(t, "/v1/tenants", "tenants", 2, 6), 6)
}

// pairs returns n members of an object of strings.
func pairs(n int) string {
	list := make([]string, 0, n)
	for i := range n {
		list = append(list, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return strings.Join(list, ",")
}

// K2: a put creates a tenant or changes the given members of the one there is.
func TestPutTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const path = "/v1/tenants/acme%2F1"
	made := f.do(t, "PUT", path, `{"metadata":{"plan":"pro"},"limits":{"max_webhooks":3}}`, nil).object(t, http.StatusCreated)
	require.Equal(t, "acme/1", made["external_id"])
	require.Equal(t, "acme/1", made["name"])
	require.NotContains(t, made, "api_key")
	require.Equal(t, made, f.do(t, "PUT", path, `{}`, nil).object(t, http.StatusOK))
	require.Equal(t, made, f.get(t, path).object(t, http.StatusOK))
	require.Equal(t, made, f.get(t, "/v1/tenants/"+made["id"].(string)).object(t, http.StatusOK))

	f.exec(t, `update tenants set updated_at = '2026-01-01' where external_id = 'acme/1'`)
	require.Equal(t, "2026-01-01T00:00:00Z", f.do(t, "PUT", path, `{"name":"acme/1","metadata":{"plan":"pro"},"limits":{"max_webhooks":3}}`, nil).object(t, http.StatusOK)["updated_at"],
		"nothing is written if nothing changes")
	changed := f.do(t, "PUT", path, `{"name":"Acme","limits":{"publish_rate":0}}`, nil).object(t, http.StatusOK)
	moment(t, changed["updated_at"])
	require.Equal(t, "Acme", changed["name"])
	require.Equal(t, map[string]any{"plan": "pro"}, changed["metadata"])
	require.Equal(t, map[string]any{"max_webhooks": 3.0, "publish_rate": 0.0}, changed["limits"])
	changed = f.do(t, "PUT", "/v1/tenants/"+made["id"].(string), `{"metadata":null,"limits":{"max_webhooks":null}}`, nil).object(t, http.StatusOK)
	require.Equal(t, map[string]any{}, changed["metadata"])
	require.Equal(t, map[string]any{"publish_rate": 0.0}, changed["limits"])

	f.do(t, "PUT", "/v1/tenants/"+hook.TenantID{1}.String(), `{}`, nil).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
	f.do(t, "PUT", "/v1/tenants/*", `{}`, nil).refused(t, "path.tenant", "stands for all tenants")
	f.do(t, "PUT", "/v1/tenants/ten_1", `{}`, nil).refused(t, "path.tenant", "must not begin with ten_")
	f.do(t, "PUT", "/v1/tenants/%20a", `{}`, nil).refused(t, "path.tenant", "space")
	for body, location := range map[string]string{
		`{"name":null}`: "body.name", `{"limits":null}`: "body.limits", `{"name":" a"}`: "body.name", `{"external_id":"b"}`: "body.external_id",
	} {
		f.do(t, "PUT", path, body, nil).refused(t, location, "")
		f.do(t, "PUT", "/v1/tenants/new", body, nil).refused(t, location, "")
	}
	f.get(t, "/v1/tenants/new").problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
}

// K2: a patch changes the given members. An external id is given once.
func TestUpdateTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	made := f.post(t, "/v1/tenants", `{"name":"acme","metadata":{"plan":"pro"}}`).object(t, http.StatusCreated)
	require.NotContains(t, made, "external_id")
	path := "/v1/tenants/" + made["id"].(string)
	patch := func(body string) answer { return f.do(t, "PATCH", path, body, nil) }
	require.Equal(t, "a/b", patch(`{"external_id":"a/b"}`).object(t, http.StatusOK)["external_id"])
	require.Equal(t, "new", f.do(t, "PATCH", "/v1/tenants/a%2Fb", `{"name":"new","external_id":"a/b"}`, nil).object(t, http.StatusOK)["name"])
	patch(`{"external_id":"other"}`).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	second := f.post(t, "/v1/tenants", `{"name":"new"}`).object(t, http.StatusCreated)
	f.do(t, "PATCH", "/v1/tenants/"+second["id"].(string), `{"external_id":"a/b"}`, nil).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	f.do(t, "PATCH", "/v1/tenants/"+second["id"].(string), `{"external_id":"*"}`, nil).refused(t, "body.external_id", "all tenants")
	patch(`{"status":"deleting"}`).refused(t, "body.status", "")
	patch(`{"external_id":null}`).refused(t, "body.external_id", "")
	require.Equal(t, map[string]any{"plan": "pro"}, patch(`{"limits":{"max_webhooks":1}}`).object(t, http.StatusOK)["metadata"])
}

// K2: tenants are listed by state and by the beginning of their names.
func TestListTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, name := range []string{"acme 1", "Acme", "acme 2", "100%"} {
		f.post(t, "/v1/tenants", `{"name":"`+name+`"}`).object(t, http.StatusCreated)
	}
	f.exec(t, `update tenants set status = 'suspended' where name = 'acme 1'`)
	names := func(query string) (names []string) {
		for _, item := range f.get(t, "/v1/tenants"+query).list(t, "tenants") {
			names = append(names, item["name"].(string))
		}
		return names
	}
	require.Equal(t, []string{"100%", "acme 2", "Acme", "acme 1", "default"}, names(""))
	require.Equal(t, []string{"acme 2", "acme 1"}, names("?name=acme"))
	require.Equal(t, []string{"acme 2"}, names("?name=acme&limit=1"))
	require.Equal(t, []string{"acme 1"}, names("?status=suspended"))
	require.Empty(t, names("?status=suspended&name=A"))
	require.Equal(t, []string{"100%"}, names("?name=100%25"))
	f.get(t, "/v1/tenants?status=gone").refused(t, "query.status", "")
	first := f.get(t, "/v1/tenants?name=acme&limit=1").object(t, http.StatusOK)
	require.Equal(t, []string{"acme 1"}, names("?name=acme&cursor="+first["next_cursor"].(string)))
}
