package api_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// setStatus suspends a tenant, or makes it active.
func (f *fixture) setStatus(t *testing.T, tenant hook.TenantID, status string) map[string]any {
	t.Helper()
	changed := f.do(t, "PATCH", "/v1/tenants/"+tenant.String(), `{"status":"`+status+`"}`, nil).object(t, http.StatusOK)
	require.Equal(t, status, changed["status"])
	return changed
}

// eraseTenant makes all steps of a deletion, as its workflow does.
func (f *fixture) eraseTenant(t *testing.T, tenant hook.TenantID) {
	t.Helper()
	for {
		step, err := f.store.DeletionStep(t.Context(), tenant)
		require.NoError(t, err)
		if step.Gone {
			return
		}
		for step.Waiting {
			c, ok, err := f.store.ClaimCancellation(t.Context())
			require.NoError(t, err)
			if !ok {
				break
			}
			for more := true; more; {
				more, err = f.store.CancelPage(t.Context(), c)
				require.NoError(t, err)
			}
		}
	}
}

// suspendedRefusals lists the operations that a suspended tenant is refused: they publish or send. A batch refuses its
// items.
func suspendedRefusals() []string {
	return []string{
		"publish-event", "publish-events", "publish-commenda-event", "publish-topic-message", "test-webhook", "trigger-commenda-webhook", "retry-delivery",
	}
}

// K8: a suspended tenant is refused what publishes or sends, and nothing else, with its own keys and with platform keys that
// name it. A tenant that is being deleted, and one that is gone, is unknown to every operation.
func TestEveryOperationOfASuspendedOrDeletedTenant(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = time.Millisecond })
	acme, platform := f.customer(t, "acme"), f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin, hook.ScopePlatform)
	own := f.newKey(t, acme, hook.ScopeAdmin)
	named := f.naming("acme")
	var ids map[string]string
	everyOperation(t, func(_ string, _ *huma.Operation, c call) {
		if c.public() || c.platform() {
			return
		}
		for _, caller := range []*client{f.as(own), f.as(platform).naming("acme"), f.as(platform).naming(acme.String())} {
			f.setStatus(t, acme, "active")
			ids = named.resources(t)
			if c.id == "resume-replay" {
				named.post(t, "/v1/replays/"+ids["replay"]+"/pause", "").object(t, http.StatusOK)
			}
			f.setStatus(t, acme, "suspended")
			a := caller.do(t, c.method, c.with(ids), c.filled(ids), nil)
			switch {
			case c.id == "publish-events":
				for _, item := range objects(t, a.object(t, http.StatusAccepted)["results"]) {
					require.EqualValues(t, http.StatusForbidden, item["status"])
					require.Equal(t, "TENANT_SUSPENDED", item["error"].(map[string]any)["code"])
				}
			case slices.Contains(suspendedRefusals(), c.id):
				a.problem(t, http.StatusForbidden, "TENANT_SUSPENDED")
			case c.id == "put-event-type", c.id == "put-momento-webhook": // the second time it exists
				require.Less(t, a.status, http.StatusBadRequest, "%s: %s", c.id, a.body)
			default:
				require.Equal(t, c.status, a.status, "%s: %s", c.id, a.body)
			}
		}
	})
	f.setStatus(t, acme, "active")
	ids = named.resources(t)
	f.do(t, "DELETE", "/v1/tenants/acme", "", nil).object(t, http.StatusAccepted)
	for _, state := range []string{"deleting", "gone"} {
		everyOperation(t, func(_ string, _ *huma.Operation, c call) {
			if c.public() {
				return
			}
			f.as(own).do(t, c.method, c.with(ids), c.filled(ids), nil).problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
			f.as(own).naming("acme").do(t, c.method, c.with(ids), c.filled(ids), nil).problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
			for _, name := range []string{"acme", acme.String()} {
				f.as(platform).naming(name).do(t, c.method, c.with(ids), c.filled(ids), nil).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
			}
		})
		if state == "deleting" {
			f.eraseTenant(t, acme)
		}
	}
}

// K8: suspending refuses publishes on all three surfaces at once, though keys and tenants are cached, and resuming lets them
// in at once. Reads go on, and the webhook says why nothing is sent.
func TestSuspendedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	own := f.as(f.newKey(t, acme, hook.ScopeAdmin))
	webhook := f.naming("acme").newWebhook(t, "user.created")
	publish := func(c *client, body string) answer { return c.post(t, "/v1/events", body) }
	callers := []*client{own, f.client.naming("acme")}
	for _, c := range callers { // into the cache
		publish(c, `{"type":"user.created","data":1,"id":"first"}`).object(t, http.StatusAccepted)
		publish(c, `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
	}
	f.setStatus(t, acme, "suspended")
	for _, c := range callers {
		for range 2 {
			publish(c, `{"type":"user.created","data":1}`).problem(t, http.StatusForbidden, "TENANT_SUSPENDED")
		}
		require.Equal(t, true, publish(c, `{"type":"user.created","data":1,"id":"first"}`).object(t, http.StatusAccepted)["duplicate"])
		c.post(t, "/events", `{"topic":"user.created","data":1}`).problem(t, http.StatusForbidden, "TENANT_SUSPENDED")
		c.do(t, "POST", "/topics/a/b", "text", map[string]string{"Content-Type": "text/plain"}).problem(t, http.StatusForbidden, "TENANT_SUSPENDED")
		batch := c.post(t, "/v1/events/batch", `{"events":[{"type":"user.created","data":1},{"type":"user.created","data":1,"id":"first"},{"type":"x"}]}`).object(t, http.StatusAccepted)
		require.EqualValues(t, 1, batch["accepted"])
		results := objects(t, batch["results"])
		require.Equal(t, []any{403.0, 202.0, 422.0}, []any{results[0]["status"], results[1]["status"], results[2]["status"]})
		c.post(t, "/v1/webhooks/"+webhook+"/test", "").problem(t, http.StatusForbidden, "TENANT_SUSPENDED")
		shown := c.get(t, "/v1/webhooks/"+webhook).object(t, http.StatusOK)
		require.Equal(t, []any{"disabled", hook.ReasonSuspended, false}, []any{shown["status"], shown["status_reason"], shown["paused"]})
		list := c.get(t, "/v1/webhooks/"+webhook+"/deliveries").list(t, "deliveries")
		require.Equal(t, "tenant_suspended", list[0]["waiting"].(map[string]any)["reason"])
		c.post(t, "/v1/deliveries/"+list[0]["id"].(string)+"/retry", "").problem(t, http.StatusForbidden, "TENANT_SUSPENDED")
	}
	require.Empty(t, f.sender.sent)
	f.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted) // others go on
	late := own.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"]}`).object(t, http.StatusCreated)
	require.Equal(t, hook.ReasonSuspended, late["status_reason"])
	f.setStatus(t, acme, "active")
	for _, c := range callers {
		publish(c, `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
		require.Equal(t, "healthy", c.get(t, "/v1/webhooks/"+webhook).object(t, http.StatusOK)["status"])
	}
	actions := []string{}
	for _, e := range f.entries(t, "&target="+acme.String()) {
		actions = append(actions, e["action"].(string))
	}
	require.Equal(t, []string{"tenant.resumed", "tenant.suspended", "tenant.created"}, actions)
	f.do(t, "PATCH", "/v1/tenants/acme", `{"status":"deleting"}`, nil).refused(t, "body.status", "")
	f.do(t, "PATCH", "/v1/tenants/acme", `{"status":null}`, nil).refused(t, "body.status", "")
}

// K8: a deleted tenant is unknown at once, its progress can be seen until it is gone, and then its external id is free.
func TestDeletedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	own := f.as(f.newKey(t, acme, hook.ScopeAdmin))
	f.naming("acme").newWebhook(t, "user.created")
	for range 3 { // into the cache
		own.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
		f.client.naming("acme").post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
	}
	deleting := f.do(t, "DELETE", "/v1/tenants/acme", "", nil).object(t, http.StatusAccepted)
	require.Equal(t, "deleting", deleting["status"])
	progress := deleting["deletion"].(map[string]any)
	require.Equal(t, "canceling", progress["phase"])
	require.Equal(t, acme.String()+"-delete", progress["workflow_id"])
	moment(t, progress["requested_at"])
	require.Equal(t, deleting, f.do(t, "DELETE", "/v1/tenants/"+acme.String(), "", nil).object(t, http.StatusAccepted))
	require.Equal(t, []hook.TenantID{acme, acme}, f.dispatched.deletions)
	own.post(t, "/v1/events", `{"type":"user.created","data":1}`).problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	f.client.naming("acme").post(t, "/v1/events", `{"type":"user.created","data":1}`).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
	for _, name := range []string{"acme", acme.String()} {
		path := "/v1/tenants/" + name
		require.Equal(t, deleting, f.get(t, path).object(t, http.StatusOK))
		f.do(t, "PATCH", path, `{"status":"active"}`, nil).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
		f.do(t, "PUT", path, `{}`, nil).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	}
	f.post(t, "/v1/tenants", `{"name":"a","external_id":"acme"}`).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	require.Len(t, f.get(t, "/v1/tenants?status=deleting").list(t, "tenants"), 1)
	f.eraseTenant(t, acme)
	for _, name := range []string{"acme", acme.String()} {
		f.get(t, "/v1/tenants/"+name).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
		f.do(t, "DELETE", "/v1/tenants/"+name, "", nil).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
	}
	require.NotEqual(t, acme, f.customer(t, "acme"))
	f.client.naming("acme").post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
	f.do(t, "DELETE", "/v1/tenants/default", "", nil).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.Len(t, f.entries(t, "&action=tenant.deleted"), 1)
	for _, e := range f.client.naming("*").get(t, "/v1/events").list(t, "events") {
		require.NotEqual(t, acme.String(), e["tenant_id"])
	}
}
