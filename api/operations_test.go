package api_test

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/secrets"
)

// call is one operation as a client calls it. Names in braces in the path stand for ids of resources.
type call struct {
	id, method, path, body string
	status                 int
	scopes                 []hook.Scope // besides admin
}

func calls() []call {
	manage, read := []hook.Scope{hook.ScopeWebhooks}, []hook.Scope{hook.ScopeWebhooks, hook.ScopeRead}
	return []call{
		{"create-webhook", "POST", "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"]}`, 201, manage},
		{"list-webhooks", "GET", "/v1/webhooks", "", 200, read},
		{"get-webhook", "GET", "/v1/webhooks/{webhook}", "", 200, read},
		{"update-webhook", "PATCH", "/v1/webhooks/{webhook}", `{"description":"changed"}`, 200, manage},
		{"delete-webhook", "DELETE", "/v1/webhooks/{webhook}", "", 204, manage},
		{"get-webhook-secret", "GET", "/v1/webhooks/{webhook}/secret", "", 200, manage},
		{"rotate-webhook-secret", "POST", "/v1/webhooks/{webhook}/secret/rotate", "", 200, manage},
		{"get-signing-keys", "GET", "/.well-known/webhook-keys", "", 200, hook.Scopes()},
		{"test-webhook", "POST", "/v1/webhooks/{webhook}/test", "", 200, manage},
		{"search-deliveries", "GET", "/v1/deliveries", "", 200, read},
		{"find-id", "GET", "/v1/find?id=evt_01kab1s6rzfkqbzry2kztmfpx1", "", 200, read},
		{"list-deliveries", "GET", "/v1/webhooks/{webhook}/deliveries", "", 200, read},
		{"get-delivery", "GET", "/v1/deliveries/{delivery}", "", 200, read},
		{"retry-delivery", "POST", "/v1/deliveries/{delivery}/retry", "", 200, manage},
		{"diagnose-delivery", "POST", "/v1/deliveries/{delivery}/diagnose", `{"headers":{},"body":"{}"}`, 200, manage},
		{"replay-webhook", "POST", "/v1/webhooks/{webhook}/replay", `{"since":"2026-01-01T00:00:00Z","status":"all"}`, 202, manage},
		{"create-replay", "POST", "/v1/replays", `{"delivery_ids":["{delivery}"]}`, 202, manage},
		{"list-replays", "GET", "/v1/replays", "", 200, read},
		{"get-replay", "GET", "/v1/replays/{replay}", "", 200, read},
		{"update-replay", "PATCH", "/v1/replays/{replay}", `{"rate":7}`, 200, manage},
		{"pause-replay", "POST", "/v1/replays/{replay}/pause", "", 200, manage},
		{"resume-replay", "POST", "/v1/replays/{replay}/resume", "", 200, manage},
		{"cancel-replay", "POST", "/v1/replays/{replay}/cancel", "", 200, manage},
		{"list-event-types", "GET", "/v1/event-types", "", 200, []hook.Scope{hook.ScopeWebhooks, hook.ScopeRead, hook.ScopePublish}},
		{"put-event-type", "PUT", "/v1/event-types/invoice.paid", `{"description":"An invoice was paid","schema":{"type":"object"}}`, 200, nil},
		{"delete-event-type", "DELETE", "/v1/event-types/{type}", "", 204, nil},
		{"publish-event", "POST", "/v1/events", `{"type":"user.created","data":{}}`, 202, []hook.Scope{hook.ScopePublish}},
		{"publish-events", "POST", "/v1/events/batch", `{"events":[{"type":"user.created","data":{}}]}`, 202, []hook.Scope{hook.ScopePublish}},
		{"list-events", "GET", "/v1/events", "", 200, read},
		{"get-event", "GET", "/v1/events/{event}", "", 200, read},
		{"create-api-key", "POST", "/v1/api-keys", `{"name":"one","scopes":["read"]}`, 201, nil},
		{"list-api-keys", "GET", "/v1/api-keys", "", 200, nil},
		{"revoke-api-key", "DELETE", "/v1/api-keys/{key}", "", 204, nil},
		{"create-portal-session", "POST", "/v1/portal-sessions", `{"tenant":"{acting}","capabilities":["view"]}`, 201, nil},
		{"list-portal-sessions", "GET", "/v1/portal-sessions", "", 200, nil},
		{"revoke-portal-session", "DELETE", "/v1/portal-sessions/{session}", "", 204, nil},
		{"revoke-portal-sessions", "DELETE", "/v1/portal-sessions", "", 200, nil},
		{"get-session", "GET", "/v1/session", "", 200, hook.Scopes()},
		{"create-topic-token", "POST", "/v1/topic-tokens", `{"cache_name":"own","topics":["own"]}`, 201, append(read, hook.ScopeSubscribe)},
		{"create-tenant", "POST", "/v1/tenants", `{"name":"acme"}`, 201, nil},
		{"get-usage", "GET", "/v1/usage", "", 200, read},
		{"get-stats", "GET", "/v1/stats", "", 200, read},
		{"list-webhook-stats", "GET", "/v1/stats/webhooks", "", 200, read},
		{"get-changes", "GET", "/v1/changes", "", 200, read},
		{"list-audit-log", "GET", "/v1/audit-log", "", 200, nil},
		{"list-tenants", "GET", "/v1/tenants", "", 200, read},
		{"put-tenant", "PUT", "/v1/tenants/own", `{"limits":{"max_webhooks":5}}`, 200, nil}, // after it was made
		{"get-tenant", "GET", "/v1/tenants/{tenant}", "", 200, read},
		{"get-tenant-usage", "GET", "/v1/tenants/{tenant}/usage", "", 200, read},
		{"update-tenant", "PATCH", "/v1/tenants/{tenant}", `{"name":"changed"}`, 200, nil},
		{"delete-tenant", "DELETE", "/v1/tenants/{tenant}", "", 202, nil},
		{"create-commenda-webhook", "POST", "/webhooks", `{"url":"https://yourapp.com/webhook","topics":["A"]}`, 200, manage},
		{"list-commenda-webhooks", "GET", "/webhooks", "", 200, read},
		{"get-commenda-webhook", "GET", "/webhooks/{commenda}", "", 200, read},
		{"update-commenda-webhook", "POST", "/webhooks/{commenda}", `{"name":"changed"}`, 200, manage},
		{"delete-commenda-webhook", "DELETE", "/webhooks/{commenda}", "", 204, manage},
		{"trigger-commenda-webhook", "POST", "/webhooks/test/trigger/{commenda}", "", 200, manage},
		{"publish-commenda-event", "POST", "/events", `{"topic":"A","data":{}}`, 202, []hook.Scope{hook.ScopePublish}},
		{"put-momento-webhook", "PUT", "/caches/own/webhooks/own", `{"destination":{"postUrl":"https://yourapp.com/webhook"},"topicName":"own"}`, 200, manage},
		{"list-momento-webhooks", "GET", "/caches/own/webhooks", "", 200, read},
		{"get-momento-webhook-secret", "GET", "/caches/own/webhooks/{momento}/secret", "", 200, manage},
		{"rotate-momento-webhook-secret", "POST", "/caches/own/webhooks/{momento}/secret/rotate", "", 200, manage},
		{"list-momento-deliveries", "GET", "/caches/own/webhooks/{momento}/deliveries", "", 200, read},
		{"delete-momento-webhook", "DELETE", "/caches/own/webhooks/{momento}", "", 204, manage},
		{"publish-topic-message", "POST", "/topics/own/own", `"text"`, 204, []hook.Scope{hook.ScopePublish}},
		{"follow-topic", "GET", "/topics/own/own?sequence_number=1", "", 200, append(read, hook.ScopeSubscribe)}, // after it has a message
		{"list-commenda-deliveries", "GET", "/webhooks/{commenda}/deliveries", "", 200, read},
	}
}

// public reports whether the operation needs no key.
func (c call) public() bool { return c.id == "get-signing-keys" }

// platform reports whether the operation is for platform keys alone.
func (c call) platform() bool { return strings.HasPrefix(c.path, "/v1/tenants") }

// changes reports whether the call may have changed the resources: a refused one leaves them as they are.
func (c call) changes(a answer) bool {
	return c.method != http.MethodGet && a.status < http.StatusBadRequest
}

func (c call) with(ids map[string]string) string { return fill(c.path, ids) }

// filled returns the call's body with the ids in place of their names.
func (c call) filled(ids map[string]string) string { return fill(c.body, ids) }

func fill(text string, ids map[string]string) string {
	for name, id := range ids {
		text = strings.ReplaceAll(text, "{"+name+"}", id)
	}
	return text
}

// resources makes one of everything that has an id, of the default tenant. Earlier webhooks get no more events: each
// event would have more deliveries than the one before.
func (f *fixture) resources(t *testing.T) map[string]string {
	t.Helper()
	f.exec(t, `delete from subscriptions`)
	f.exec(t, `delete from tenant_deletions`) // an earlier call's
	f.exec(t, `insert into tenants (id, name, external_id) values ($1, 'own', 'own') on conflict (id) do update set status = 'active'`, [16]byte(ownTenant()))
	webhook := f.newWebhook(t, "user.created")
	delivery := f.deliver(t, webhook, failure(500))
	replay := f.replay(t, f.newWebhook(t, "user.created"), `{"since":"2026-01-01T00:00:00Z","status":"all"}`)
	owner, err := f.store.FindTenant(t.Context(), cmp.Or(f.tenant, "default"))
	require.NoError(t, err)
	f.exec(t, `insert into event_types (tenant_id, name) values ($1, 'own.type') on conflict (tenant_id, name) do update set shared = false`, [16]byte(owner.ID))
	acting := cmp.Or(f.tenant, "default")
	return map[string]string{
		"acting":  acting,
		"session": f.post(t, "/v1/portal-sessions", fill(`{"tenant":"{acting}","capabilities":["view"]}`, map[string]string{"acting": acting})).object(t, http.StatusCreated)["id"].(string),
		"type":    "own.type",
		"tenant":  ownTenant().String(),
		"replay":  replay.object(t, http.StatusAccepted)["id"].(string),
		"webhook": webhook, "delivery": delivery, "commenda": f.newCommendaWebhook(t, "A"), "momento": f.newMomentoWebhook(t),
		"event": f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)["event_id"].(string),
		"key":   f.post(t, "/v1/api-keys", `{"name":"one","scopes":["read"]}`).object(t, http.StatusCreated)["id"].(string),
	}
}

// owning returns the same client, whose event types are those of one tenant and not shared: the one that it names, or the
// tenant default.
func (c *client) owning() *client { return c.naming(cmp.Or(c.tenant, "default")) }

// ownTenant is the tenant that operations on tenants are called with.
func ownTenant() hook.TenantID { return hook.TenantID{15: 7} }

func TestTheTableOfCallsHasEveryOperation(t *testing.T) {
	t.Parallel()
	var want, have []string
	for _, item := range api.Document("test").Paths {
		for _, op := range methods(item) {
			if op != nil {
				want = append(want, op.OperationID)
			}
		}
	}
	for _, c := range calls() {
		have = append(have, c.id)
	}
	require.ElementsMatch(t, want, have)
}

// Spec 7: scopes; admin includes the others.
func TestScopes(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	require.Equal(t, http.StatusCreated, f.owning().do(t, "PUT", "/v1/event-types/invoice.paid", "", nil).status)
	for _, scope := range hook.Scopes() {
		key := f.as(f.newKey(t, hook.DefaultTenant(), scope))
		var ids map[string]string
		for _, c := range calls() {
			if ids == nil {
				ids = f.resources(t)
			}
			a := key.do(t, c.method, c.with(ids), c.filled(ids), nil)
			if c.changes(a) {
				ids = nil
			}
			if c.platform() {
				a.problem(t, http.StatusForbidden, "PERMISSION_DENIED")
			} else if scope == hook.ScopeAdmin || slices.Contains(c.scopes, scope) {
				require.Equal(t, c.status, a.status, "%s with %s: %s", c.id, scope, a.body)
			} else {
				p := a.problem(t, http.StatusForbidden, "PERMISSION_DENIED")
				require.Contains(t, p.Detail, "scope", c.id)
			}
		}
	}
}

// Spec 0: nothing of one tenant is visible to another.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ids := f.resources(t)
	_, key := f.newTenant(t)
	other := f.as(key)
	for _, c := range calls() {
		if c.path == c.with(ids) {
			continue
		}
		if a := other.do(t, c.method, c.with(ids), c.filled(ids), nil); c.platform() {
			a.problem(t, http.StatusForbidden, "PERMISSION_DENIED")
		} else {
			a.problem(t, http.StatusNotFound, "NOT_FOUND")
		}
	}
	require.Empty(t, f.sender.sent)
	for path, name := range map[string]string{
		"/v1/webhooks": "webhooks", "/v1/events": "events",
	} {
		require.Empty(t, other.get(t, path).list(t, name))
	}
	require.Len(t, other.get(t, "/v1/api-keys").list(t, "api_keys"), 1)
	// The other tenant's resources are unchanged.
	require.Empty(t, value[string](t, f, `select string_agg(description, '') from webhooks`))
	require.Zero(t, value[int](t, f, `select count(*) from api_keys where revoked_at is not null`))

	// A type of one tenant is unknown to another, and an event reaches only its own tenant's webhooks.
	f.owning().do(t, "PUT", "/v1/event-types/invoice.paid", "", nil)
	other.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).refused(t, "body.type", "not a known event type")
	require.EqualValues(t, 0, other.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, 202)["deliveries"])
	// The same idempotency key of two tenants is two keys.
	for _, c := range []*client{f.client, other} {
		require.NotContains(t, c.post(t, "/v1/events", `{"type":"user.created","data":1,"id":"one"}`).object(t, 202), "duplicate")
	}
}

// Ids of another kind, malformed ids and unknown ids are all not found.
func TestUnknownIDs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ids := f.resources(t)
	swapped := map[string]string{"tenant": ids["webhook"], "webhook": ids["event"], "event": ids["webhook"], "delivery": ids["webhook"], "key": ids["webhook"], "session": ids["key"], "commenda": ids["webhook"], "momento": ids["webhook"], "type": ids["webhook"]}
	nothing := map[string]string{
		"tenant": hook.TenantID{1}.String(), "webhook": hook.WebhookID{1}.String(), "event": hook.EventID{1}.String(),
		"delivery": hook.DeliveryID{1}.String(), "key": hook.KeyID{1}.String(), "session": hook.PortalSessionID{1}.String(), "commenda": hook.WebhookID{1}.UUID(), "momento": "nothing",
		"type": "no.such",
	}
	garbage := map[string]string{"tenant": "ten_%00", "webhook": "hook_123", "event": "%00", "delivery": "..%2f..", "key": "key_", "session": "ps_%00", "commenda": "019a961c-9b1f-7cee-bfe3-c29ff547dbag", "momento": "..%2f..", "type": "..%2f.."}
	for _, c := range calls() {
		if c.path == c.with(ids) {
			continue
		}
		for _, ids := range []map[string]string{swapped, nothing, garbage} {
			code := "NOT_FOUND"
			if c.platform() {
				code = "TENANT_NOT_FOUND"
			}
			f.do(t, c.method, c.with(ids), c.filled(ids), nil).problem(t, http.StatusNotFound, code)
		}
	}
}

// Spec 6 and 7: 401 with WWW-Authenticate, whatever is wrong with the key.
func TestKeysThatDoNotLetIn(t *testing.T) {
	t.Parallel()
	f := setup(t)
	revoked := f.post(t, "/v1/api-keys", `{"name":"revoked","scopes":["admin"]}`).object(t, http.StatusCreated)
	require.Equal(t, http.StatusOK, f.as(revoked["key"].(string)).get(t, "/v1/webhooks").status)
	require.Equal(t, http.StatusNoContent, f.do(t, "DELETE", "/v1/api-keys/"+revoked["id"].(string), "", nil).status)
	expired := f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin)
	f.exec(t, `update api_keys set expires_at = now() - interval '1 second' where hash = sha256($1::bytea)`, []byte(expired))

	for name, authorization := range map[string]string{
		"missing":      "",
		"no scheme":    f.key,
		"basic":        "Basic " + f.key,
		"empty":        "Bearer ",
		"unknown":      "Bearer " + secrets.NewAPIKey().Reveal(),
		"revoked":      "Bearer " + revoked["key"].(string),
		"expired":      "Bearer " + expired,
		"other case":   "Bearer " + strings.ToUpper(f.key),
		"with a space": "Bearer " + f.key + " x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range calls() {
				if name == "no scheme" && strings.HasPrefix(c.path, "/topics/") {
					continue // M9: there it is enough
				}
				if c.public() {
					continue
				}
				a := f.do(t, c.method, c.with(map[string]string{"tenant": "x", "webhook": "x", "event": "x", "delivery": "x", "key": "x", "session": "x", "commenda": "x", "momento": "x", "type": "x"}), c.body,
					map[string]string{"Authorization": authorization})
				a.problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
				require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
			}
		})
	}
	t.Run("the scheme's case does not matter", func(t *testing.T) {
		t.Parallel()
		a := f.do(t, "GET", "/v1/webhooks", "", map[string]string{"Authorization": "bearer " + f.key})
		require.Equal(t, http.StatusOK, a.status)
	})
}

// Spec 7: with --auth=none every local request is one of an admin of the default tenant.
func TestNoAuth(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.NoAuth = true })
	webhook := f.newWebhook(t, "*")
	require.Equal(t, http.StatusOK, f.as("").get(t, "/v1/webhooks/"+webhook).status)
	require.Equal(t, http.StatusOK, f.as("").get(t, "/v1/api-keys").status)
}

// A client that disconnects is no error: nothing is logged above debug.
func TestClientThatGoesAway(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"webhooks", "api_keys"} {
		seen := &metrics{}
		f := setup(t, func(d *api.Deps) { d.Metrics = seen })
		f.exec(t, `begin`)
		f.exec(t, `lock table `+table)
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.server.URL+"/v1/webhooks", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+f.key)
		left := make(chan struct{})
		go func() {
			defer close(left)
			response, err := f.server.Client().Do(r)
			if err == nil {
				response.Body.Close()
			}
		}()
		other, err := pgx.Connect(t.Context(), f.db.Config().ConnString())
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			var waiting bool
			err := other.QueryRow(t.Context(), `select exists (select from pg_locks l join pg_database d on d.oid = l.database
				where d.datname = current_database() and not l.granted)`).Scan(&waiting)
			return err == nil && waiting
		}, 10*time.Second, 10*time.Millisecond)
		require.NoError(t, other.Close(t.Context()))
		leave()
		<-left
		f.server.Close() // waits for the request
		f.exec(t, `rollback`)
		require.Empty(t, f.log.String(), table)
		require.Equal(t, []string{"list-webhooks 499"}, seen.all(), table)
	}
}

// Each request is counted by its operation and status, refused ones too.
func TestMetrics(t *testing.T) {
	t.Parallel()
	seen := &metrics{}
	f := setup(t, func(d *api.Deps) { d.Metrics, d.Store = seen, panicking{d.Store} })
	f.get(t, "/v1/webhooks")
	f.get(t, "/v1/events")
	f.get(t, "/v1/events/x")
	f.as("").get(t, "/v1/events")
	f.post(t, "/v1/webhooks", `{}`)
	require.Equal(t, []string{"list-webhooks 500", "list-events 200", "get-event 404", "list-events 401", "create-webhook 422"}, seen.all())
}
