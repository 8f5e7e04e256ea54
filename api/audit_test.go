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
)

// audited returns the action that each operation leaves in the audit log. Every operation that changes something, and
// every one that shows a stored secret, must be here.
func audited() map[string]hook.AuditAction {
	return map[string]hook.AuditAction{
		"create-webhook":        hook.AuditWebhookCreated,
		"update-webhook":        hook.AuditWebhookUpdated,
		"delete-webhook":        hook.AuditWebhookDeleted,
		"get-webhook-secret":    hook.AuditSecretRead,
		"rotate-webhook-secret": hook.AuditSecretRotated,
		"test-webhook":          hook.AuditWebhookTested,
		"retry-delivery":        hook.AuditDeliveryRetried,
		"replay-webhook":        hook.AuditReplayCreated,
		"create-replay":         hook.AuditReplayCreated,
		"update-replay":         hook.AuditReplayUpdated,
		"pause-replay":          hook.AuditReplayPaused,
		"resume-replay":         hook.AuditReplayResumed,
		"cancel-replay":         hook.AuditReplayCanceled,
		"put-event-type":        hook.AuditEventTypeCreated,
		"delete-event-type":     hook.AuditEventTypeDeleted,
		"create-api-key":        hook.AuditKeyCreated,
		"revoke-api-key":        hook.AuditKeyRevoked,
		"create-topic-token":    hook.AuditTopicTokenCreated,
		"create-portal-session": hook.AuditSessionCreated,
		"revoke-portal-session": hook.AuditSessionRevoked, "revoke-portal-sessions": hook.AuditSessionRevoked,
		"put-tenant": hook.AuditTenantUpdated, "update-tenant": hook.AuditTenantUpdated,
		"delete-tenant":                 hook.AuditTenantDeleted,
		"create-tenant":                 hook.AuditTenantCreated,
		"create-commenda-webhook":       hook.AuditWebhookCreated,
		"update-commenda-webhook":       hook.AuditWebhookUpdated,
		"delete-commenda-webhook":       hook.AuditWebhookDeleted,
		"trigger-commenda-webhook":      hook.AuditWebhookTested,
		"put-momento-webhook":           hook.AuditWebhookCreated,
		"delete-momento-webhook":        hook.AuditWebhookDeleted,
		"get-momento-webhook-secret":    hook.AuditSecretRead,
		"rotate-momento-webhook-secret": hook.AuditSecretRotated,
	}
}

// publishing returns the operations that publish, which is no change.
func publishing() []string {
	return []string{"publish-event", "publish-events", "publish-commenda-event", "publish-topic-message"}
}

// entries returns the newest entries of the audit log, newest first.
func (c *client) entries(t *testing.T, query string) []map[string]any {
	t.Helper()
	return c.get(t, "/v1/audit-log?limit=100"+query).list(t, "entries")
}

// K11: every operation that changes something leaves one entry, with the key and the address that the request came
// from; every other operation leaves none. A refused request leaves none either.
func TestEveryChangeIsLogged(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = time.Millisecond })
	key := f.post(t, "/v1/api-keys", `{"name":"Backend","scopes":["admin"]}`).object(t, http.StatusCreated)
	acts := f.as(key["key"].(string))
	everyOperation(t, func(_ string, _ *huma.Operation, c call) {
		action, logged := audited()[c.id]
		changes := c.method != http.MethodGet && !strings.HasPrefix(c.id, "publish-") && c.id != "diagnose-delivery" // it only compares
		if changes {
			require.True(t, logged, "%s changes something: give its action in the table", c.id)
		}
		ids := f.resources(t)
		if c.id == "resume-replay" {
			f.post(t, "/v1/replays/"+ids["replay"]+"/pause", "").object(t, http.StatusOK)
		}
		caller, actor := acts, "&actor="+key["id"].(string)
		if strings.HasPrefix(c.path, "/v1/tenants") { // the operator's alone
			caller, actor = f.client, "&action=tenant.*"
		}
		seen := len(f.entries(t, actor))
		f.as("gk_unknown").do(t, c.method, c.with(ids), c.filled(ids), nil)
		a := caller.do(t, c.method, c.with(ids), c.filled(ids), nil)
		require.Less(t, a.status, http.StatusBadRequest, "%s: %s", c.id, a.body)
		entries := f.entries(t, actor)
		if !logged {
			require.Len(t, entries, seen, c.id)
			return
		}
		require.Len(t, entries, seen+1, c.id)
		require.Equal(t, string(action), entries[0]["action"], c.id)
		require.Equal(t, "127.0.0.1", entries[0]["source_address"], c.id)
		if caller == acts {
			require.Equal(t, map[string]any{"type": "api_key", "id": key["id"], "name": "Backend"}, entries[0]["actor"], c.id)
		}
	})
	for _, id := range publishing() {
		require.NotContains(t, audited(), id)
	}
}

// K11: what an entry shows. Secrets and the values of headers are never shown.
func TestAuditEntry(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"],"headers":{"X-Token":"hidden-value"},"description":"Billing"}`).
		object(t, http.StatusCreated)
	path := "/v1/webhooks/" + webhook["id"].(string)
	f.do(t, "PATCH", path, `{"url":"https://yourapp.com/other","headers":{"X-Token":"other-value"},"secret":"whsec_b3RoZXItc2VjcmV0LTEyMzQ="}`, nil).object(t, http.StatusOK)
	f.do(t, "PATCH", path, `{"url":"https://yourapp.com/other"}`, nil).object(t, http.StatusOK)
	f.do(t, "PATCH", path, `{"url":"nowhere"}`, nil).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	entries := f.entries(t, "&target="+webhook["id"].(string))
	require.Len(t, entries, 2, "neither what changes nothing nor what is refused leaves an entry")
	e := entries[0]
	require.Equal(t, "webhook.updated", e["action"])
	require.Equal(t, map[string]any{"type": "webhook", "id": webhook["id"], "name": "Billing"}, e["target"])
	require.Equal(t, hook.DefaultTenant().String(), e["tenant_id"])
	changes := map[string]map[string]any{}
	for _, c := range objects(t, e["changes"]) {
		changes[c["member"].(string)] = c
	}
	require.Equal(t, map[string]any{"member": "url", "before": "https://yourapp.com/webhook", "after": "https://yourapp.com/other"}, changes["url"])
	require.Equal(t, map[string]any{"member": "headers.X-Token", "secret": true}, changes["headers.X-Token"])
	require.Equal(t, map[string]any{"member": "secret", "secret": true}, changes["secret"])
	for _, hidden := range []string{"hidden-value", "other-value", "whsec_"} {
		require.NotContains(t, string(f.get(t, "/v1/audit-log").body), hidden)
	}
}

// K11: filters.
func TestAuditLogFilters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "user.created")
	webhook := f.newWebhook(t, "user.created")
	f.get(t, "/v1/webhooks/"+webhook+"/secret").object(t, http.StatusOK)
	count := func(query string) int {
		t.Helper()
		return len(f.entries(t, query))
	}
	require.Equal(t, 3, count(""))
	require.Equal(t, 2, count("&action=webhook.created"))
	require.Equal(t, 3, count("&action=webhook.*"))
	require.Equal(t, 2, count("&target="+webhook))
	require.Equal(t, 0, count("&actor="+hook.KeyID{1}.String()))
	require.Equal(t, 3, count("&since="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)))
	require.Equal(t, 0, count("&until="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)))
	f.get(t, "/v1/audit-log?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z").refused(t, "query.since", "after until")
	limited := f.post(t, "/v1/api-keys", `{"name":"limited","scopes":["admin"],"topics":["user.*"]}`).object(t, http.StatusCreated)
	f.as(limited["key"].(string)).get(t, "/v1/audit-log").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}

// K11: tests and retries that were certainly not sent leave no entry; those that may have been sent do.
func TestUnsentLeavesNoEntry(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	delivery := f.deliver(t, webhook)
	seen := len(f.entries(t, ""))
	for err, more := range map[error]int{
		fmt.Errorf("%w: %w", hook.ErrNotSent, hook.Unavailable("Temporal", nil)): 0, hook.Unavailable("Temporal", nil): 2,
	} {
		f.sender.err = err
		f.post(t, "/v1/webhooks/"+webhook+"/test", "").problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
		f.post(t, "/v1/deliveries/"+delivery+"/retry", "").problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
		require.Len(t, f.entries(t, "&action=webhook.tested"), more/2)
		require.Len(t, f.entries(t, "&action=delivery.retried"), more/2)
		f.exec(t, `delete from audit_log where action in ('webhook.tested', 'delivery.retried')`)
	}
	require.Len(t, f.entries(t, ""), seen)
}

// K11: a put of a Momento webhook shows its secret, so that is logged also if nothing else differs.
func TestPutOfAStoredMomentoWebhookIsLogged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 2 {
		f.do(t, "PUT", "/caches/own/webhooks/own", `{"destination":{"postUrl":"https://yourapp.com/webhook"},"topicName":"own"}`, nil).object(t, http.StatusOK)
	}
	entries := f.entries(t, "")
	require.Len(t, entries, 2)
	require.Equal(t, "webhook.secret_read", entries[0]["action"])
	require.Equal(t, "webhook.created", entries[1]["action"])
}

// K11: without authentication the actor is anonymous.
func TestAnonymousActor(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.NoAuth = true })
	f.newWebhook(t, "user.created")
	require.Equal(t, map[string]any{"type": "anonymous", "id": "anonymous", "name": "--auth=none"}, f.entries(t, "")[0]["actor"])
}
