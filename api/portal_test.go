package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/secrets"
)

// closed stands for no capability: a portal session may not call the operation.
const closed hook.Capability = ""

// capabilities returns the capability that each operation of /v1 needs. Every operation must be here, except those of the
// other surfaces, which are closed. The table is written by hand: it is the specification, and not what the code says.
func capabilities() map[string]hook.Capability {
	const view, test, retry, manage, secret = hook.CapabilityView, hook.CapabilityTest, hook.CapabilityRetry, hook.CapabilityManage, hook.CapabilitySecrets
	return map[string]hook.Capability{
		"list-webhooks": view, "get-webhook": view, "search-deliveries": view, "list-deliveries": view, "get-delivery": view,
		"list-events": view, "get-event": view, "list-replays": view, "get-replay": view, "list-event-types": view, "get-usage": view, "get-stats": view, "list-webhook-stats": view, "get-changes": view, "find-id": view,
		"get-session": view, "get-signing-keys": view, "diagnose-delivery": view,
		"test-webhook":   test,
		"retry-delivery": retry, "replay-webhook": retry, "create-replay": retry, "update-replay": retry,
		"pause-replay": retry, "resume-replay": retry, "cancel-replay": retry,
		"create-webhook": manage, "update-webhook": manage, "delete-webhook": manage,
		"get-webhook-secret": secret, "rotate-webhook-secret": secret,
		"publish-event": closed, "publish-events": closed,
		"put-event-type": closed, "delete-event-type": closed,
		"create-api-key": closed, "list-api-keys": closed, "revoke-api-key": closed, "create-topic-token": closed,
		"create-portal-session": closed, "list-portal-sessions": closed, "revoke-portal-session": closed, "revoke-portal-sessions": closed,
		"list-audit-log": closed,
		"create-tenant":  closed, "put-tenant": closed, "list-tenants": closed, "get-tenant": closed, "update-tenant": closed,
		"delete-tenant": closed, "get-tenant-usage": closed,
	}
}

// capabilityOf returns what an operation needs by the table, closed for those of the other surfaces.
func capabilityOf(t *testing.T, c call) hook.Capability {
	t.Helper()
	needs, ok := capabilities()[c.id]
	require.True(t, ok || !strings.HasPrefix(c.path, "/v1/"), "%s: give its capability in the table", c.id)
	return needs
}

// newSession makes a portal session of a tenant for an hour, and returns its token.
func (f *fixture) newSession(t *testing.T, tenant hook.TenantID, list ...hook.Capability) string {
	t.Helper()
	p, token := hook.PortalSession{TenantID: tenant, Name: "Alice"}, secrets.NewPortalToken()
	p.SetCapabilities(list)
	_, err := f.store.CreateSession(t.Context(), p, token, time.Hour)
	require.NoError(t, err)
	return token.Reveal()
}

// capabilitySets returns every set of capabilities that a session can have.
func capabilitySets() (sets [][]hook.Capability) {
	others := hook.Capabilities()[1:]
	for bits := range 1 << len(others) {
		set := []hook.Capability{hook.CapabilityView}
		for i, c := range others {
			if bits>>i&1 == 1 {
				set = append(set, c)
			}
		}
		sets = append(sets, set)
	}
	return sets
}

// P2: the document says of each operation which capability it needs.
func TestCapabilitiesAreDocumented(t *testing.T) {
	t.Parallel()
	everyOperation(t, func(_ string, op *huma.Operation, c call) {
		documented, _ := op.Extensions["x-portal-capability"].(string)
		require.Equal(t, string(capabilityOf(t, c)), documented, c.id)
	})
}

// P2: every operation with every set of capabilities is allowed, and then does what it does with an API key, or it is 403,
// and then does nothing.
func TestEveryOperationWithEveryCapability(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = time.Millisecond })
	var ids map[string]string
	for _, set := range capabilitySets() {
		session := hook.PortalSession{}
		session.SetCapabilities(set)
		holder := f.as(f.newSession(t, hook.DefaultTenant(), set...))
		everyOperation(t, func(_ string, _ *huma.Operation, c call) {
			if ids == nil {
				ids = f.resources(t)
			}
			needs := capabilityOf(t, c)
			if needs != closed && session.Allows(needs) {
				if c.id == "resume-replay" {
					f.post(t, "/v1/replays/"+ids["replay"]+"/pause", "").object(t, http.StatusOK)
				}
				a := holder.do(t, c.method, c.with(ids), c.filled(ids), nil)
				require.Equal(t, c.status, a.status, "%s with %v: %s", c.id, set, a.body)
				if c.changes(a) {
					ids = nil
				}
				return
			}
			logged := value[int](t, f, `select count(*) from audit_log`)
			p := holder.do(t, c.method, c.with(ids), c.filled(ids), nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
			require.Contains(t, p.Detail, "portal session", c.id)
			if needs != closed {
				require.Contains(t, p.Detail, string(needs), c.id)
			}
			require.Equal(t, logged, value[int](t, f, `select count(*) from audit_log`), c.id)
		})
	}
}

// P2: a session reaches nothing of another tenant: not by ids in paths and bodies, not by cursors, and not by a header.
func TestSessionsReachNoOtherTenant(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = time.Millisecond })
	f.resources(t) // more than a page of each
	ids := f.resources(t)
	acme := f.customer(t, "acme")
	holder := f.as(f.newSession(t, acme, hook.Capabilities()...))
	everyOperation(t, func(_ string, op *huma.Operation, c call) {
		if capabilityOf(t, c) == closed || c.public() {
			return
		}
		if c.path != c.with(ids) {
			theirs := holder.do(t, c.method, c.with(ids), c.filled(ids), nil)
			theirs.problem(t, http.StatusNotFound, "NOT_FOUND")
		}
		for _, name := range []string{"default", hook.DefaultTenant().String(), "*", "nobody"} {
			holder.do(t, c.method, c.with(ids), c.filled(ids), map[string]string{"Grapnel-Tenant": name}).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
		}
		list, ok := paged()[c.id]
		if !ok || strings.Contains(list[0], "{") {
			return
		}
		cursor, _ := f.get(t, list[0]+"?limit=1").object(t, http.StatusOK)["next_cursor"].(string)
		require.NotEmpty(t, cursor, c.id)
		page := holder.get(t, list[0]+"?cursor="+cursor)
		for _, item := range page.list(t, list[1]) {
			require.Equal(t, "list-event-types", c.id, "%v", item) // shared ones are everybody's
		}
	})
	holder.post(t, "/v1/replays", `{"delivery_ids":["`+ids["delivery"]+`"]}`).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	for _, name := range []string{"acme", acme.String()} {
		holder.do(t, "GET", "/v1/webhooks", "", map[string]string{"Grapnel-Tenant": name}).object(t, http.StatusOK)
	}
	require.Empty(t, f.sender.sent)
}

// P2: without the capability secrets no answer shows a signing secret, and none can be put in its place. The values of
// custom headers are shown to nobody.
func TestSessionsSeeNoSecrets(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const secret, header = "whsec_dGhpcy1pcy1wbGFpbmx5LXZpc2libGUtMTIzNDU2Nzg=", "plainly-visible-header"
	body := `{"url":"https://yourapp.com/webhook","events":["user.created"],"secret":"` + secret + `","headers":{"X-Token":"` + header + `"}}`
	made := f.do(t, "POST", "/v1/webhooks", body, map[string]string{"Idempotency-Key": "one"}).object(t, http.StatusCreated)
	require.Equal(t, secret, made["secret"])
	path := "/v1/webhooks/" + made["id"].(string)

	without := f.as(f.newSession(t, hook.DefaultTenant(), hook.CapabilityTest, hook.CapabilityRetry, hook.CapabilityManage))
	// A repeat gets the answer that was kept for the key of another caller.
	require.Equal(t, "***", without.do(t, "POST", "/v1/webhooks", body, map[string]string{"Idempotency-Key": "one"}).object(t, http.StatusCreated)["secret"])
	require.Equal(t, "***", without.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)["secret"])
	p := without.do(t, "PATCH", path, `{"secret":"another-secret"}`, nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Contains(t, p.at(t, "body.secret"), "capability secrets")
	require.Contains(t, without.do(t, "PATCH", path, `{"headers":{"X-Token":"***"}}`, nil).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, "body.headers.X-Token"), "***")
	without.do(t, "PATCH", path, `{"description":"changed"}`, nil).object(t, http.StatusOK)

	f.sender.outcome = hook.Attempt{URL: "https://yourapp.com/webhook", RequestHeaders: http.Header{"X-Token": {"***"}}, StatusCode: 200}
	delivery := without.post(t, path+"/test", "").object(t, http.StatusOK)["id"].(string)
	for _, read := range []string{path, "/v1/webhooks", path + "/deliveries", "/v1/deliveries", "/v1/deliveries/" + delivery, "/v1/events", "/v1/replays", "/v1/session"} {
		for _, hidden := range []string{secret, header} {
			require.NotContains(t, string(without.get(t, read).body), hidden, read)
		}
	}
	for _, given := range []string{secret, "another-secret"} {
		diagnosed := without.post(t, "/v1/deliveries/"+delivery+"/diagnose", fmt.Sprintf(`{"headers":{"X-Token":"x"},"body":"{}","secret":%q}`, given))
		require.NotContains(t, string(diagnosed.body), secret)
		require.NotContains(t, string(diagnosed.body), header)
	}

	with := f.as(f.newSession(t, hook.DefaultTenant(), hook.CapabilityManage, hook.CapabilitySecrets))
	require.Equal(t, secret, with.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)["secret"])
	require.Equal(t, secret, with.get(t, path+"/secret").object(t, http.StatusOK)["secret"])
	with.do(t, "PATCH", path, `{"secret":"another-secret"}`, nil).object(t, http.StatusOK)
	require.NotContains(t, string(with.get(t, path).body), header)
}

// P2: the operator's Temporal Web UI is not for customers.
func TestSessionsSeeNoWorkflows(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ids := f.resources(t)
	webhook := f.newWebhook(t, "*")
	f.do(t, "PATCH", "/v1/webhooks/"+webhook, `{"paused":true}`, nil).object(t, http.StatusOK)
	f.deliver(t, webhook) // deferred: its workflow is the drain
	holder := f.as(f.newSession(t, hook.DefaultTenant(), hook.Capabilities()...))
	seen := 0
	for _, path := range []string{
		"/v1/events", "/v1/events/" + ids["event"], "/v1/deliveries", "/v1/webhooks/" + webhook + "/deliveries", "/v1/deliveries/" + ids["delivery"],
		"/v1/replays", "/v1/replays/" + ids["replay"],
	} {
		if strings.Contains(string(f.get(t, path).body), "ui.example") {
			seen++
		}
		require.NotContains(t, string(holder.get(t, path).body), "ui.example", path)
	}
	require.Greater(t, seen, 4, "with an API key there are links")
}

// P2: a session that was revoked or has expired says so, on every operation. A text that is no session's token does not.
func TestEndedSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	make1 := func() map[string]any {
		return f.post(t, "/v1/portal-sessions", `{"tenant":"acme","capabilities":["view"]}`).object(t, http.StatusCreated)
	}
	revoked, all, expired, deleted := make1(), make1(), make1(), f.newSession(t, f.customer(t, "gone"), hook.CapabilityView)
	for _, p := range []map[string]any{revoked, all, expired} {
		require.Equal(t, http.StatusOK, f.as(p["token"].(string)).get(t, "/v1/webhooks").status)
	}
	acting := f.naming("acme")
	require.Equal(t, http.StatusNoContent, acting.do(t, "DELETE", "/v1/portal-sessions/"+revoked["id"].(string), "", nil).status)
	f.exec(t, `update portal_sessions set expires_at = now() - interval '1 second' where name = '' and id = $1`, portalID(t, expired["id"]))
	require.EqualValues(t, 1, acting.do(t, "DELETE", "/v1/portal-sessions", "", nil).object(t, http.StatusOK)["revoked"])
	require.EqualValues(t, 0, acting.do(t, "DELETE", "/v1/portal-sessions", "", nil).object(t, http.StatusOK)["revoked"])
	require.Empty(t, acting.get(t, "/v1/portal-sessions").list(t, "portal_sessions"))
	f.do(t, "DELETE", "/v1/tenants/gone", "", nil).object(t, http.StatusAccepted)
	for name, token := range map[string]any{"revoked": revoked["token"], "with all": all["token"], "expired": expired["token"], "deleted": deleted} {
		everyOperation(t, func(_ string, _ *huma.Operation, c call) {
			if c.public() {
				return
			}
			a := f.as(token.(string)).do(t, c.method, c.path, c.body, nil)
			require.Contains(t, a.problem(t, http.StatusUnauthorized, "SESSION_ENDED").Detail, "has ended", "%s %s", name, c.id)
			require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
		})
	}
	for _, wrong := range []string{"gps_", "gps_x", secrets.NewPortalToken().Reveal(), strings.ToUpper(f.newSession(t, acme, hook.CapabilityView))} {
		f.as(wrong).get(t, "/v1/webhooks").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	}
	require.NotContains(t, f.log.String(), "gps_")
}

// P2: sessions of a suspended tenant read, and are refused what sends, as its keys are.
func TestSessionsOfASuspendedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	webhook := f.naming("acme").newWebhook(t, "user.created")
	holder := f.as(f.newSession(t, acme, hook.Capabilities()...))
	f.setStatus(t, acme, "suspended")
	holder.get(t, "/v1/webhooks/"+webhook).object(t, http.StatusOK)
	holder.post(t, "/v1/webhooks/"+webhook+"/test", "").problem(t, http.StatusForbidden, "TENANT_SUSPENDED")
	f.setStatus(t, acme, "active")
	holder.post(t, "/v1/webhooks/"+webhook+"/test", "").object(t, http.StatusOK)
}

// P2: what a session may not publish, a test of its own data must not look like.
func TestSessionsDoNotSignForTheAccount(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"],"signature_schemes":["v1a"]}`).object(t, http.StatusCreated)["id"].(string)
	holder := f.as(f.newSession(t, hook.DefaultTenant(), hook.CapabilityTest))
	holder.post(t, "/v1/webhooks/"+webhook+"/test", `{"data":{"id":"forged"}}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	holder.post(t, "/v1/webhooks/"+webhook+"/test", ``).object(t, http.StatusOK)
}

// P2, K11: what a session changes is logged with the session as the actor.
func TestSessionsAreActors(t *testing.T) {
	t.Parallel()
	f := setup(t)
	made := f.post(t, "/v1/portal-sessions", `{"tenant":"default","capabilities":["manage"],"name":"Alice"}`).object(t, http.StatusCreated)
	f.as(made["token"].(string)).post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"]}`).object(t, http.StatusCreated)
	entries := f.entries(t, "&actor="+made["id"].(string))
	require.Len(t, entries, 1)
	require.Equal(t, "webhook.created", entries[0]["action"])
	require.Equal(t, map[string]any{"type": "portal_session", "id": made["id"], "name": "Alice"}, entries[0]["actor"])
	created := f.entries(t, "&target="+made["id"].(string))
	require.Len(t, created, 1)
	require.Equal(t, "portal_session.created", created[0]["action"])
	require.NotContains(t, string(f.get(t, "/v1/audit-log?limit=100").body), "gps_")
}

// A session is limited as a key is, and by itself.
func TestSessionsAreLimited(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.KeyRateLimit = 1 })
	one, other := f.newSession(t, hook.DefaultTenant(), hook.CapabilityView), f.newSession(t, hook.DefaultTenant(), hook.CapabilityView)
	statuses := map[int]int{}
	for range 10 {
		statuses[f.as(one).get(t, "/v1/webhooks").status]++
	}
	require.Positive(t, statuses[http.StatusTooManyRequests])
	require.Equal(t, http.StatusOK, f.as(other).get(t, "/v1/webhooks").status)
}

// With --auth=none a session's token is still a session's, so that the portal can be tried out.
func TestSessionsWithoutAuth(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.NoAuth = true })
	holder := f.as(f.newSession(t, hook.DefaultTenant(), hook.CapabilityView))
	require.Equal(t, "portal", holder.get(t, "/v1/session").object(t, http.StatusOK)["kind"])
	holder.get(t, "/v1/api-keys").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Equal(t, "platform", f.as("").get(t, "/v1/session").object(t, http.StatusOK)["kind"])
}

func portalID(t *testing.T, text any) [16]byte {
	t.Helper()
	id, err := hook.ParsePortalSessionID(text.(string))
	require.NoError(t, err)
	return id
}
