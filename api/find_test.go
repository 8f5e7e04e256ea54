package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// found returns what an id names for a client, as kind and tenant.
func found(t *testing.T, c *client, id string) (list [][3]string) {
	t.Helper()
	for _, item := range c.get(t, "/v1/find?id="+url.QueryEscape(id)).list(t, "items") {
		list = append(list, [3]string{item["kind"].(string), item["id"].(string), item["tenant_id"].(string)})
	}
	return list
}

// An operator finds over all tenants what an id names and whose it is; a tenant finds its own things only. Whether the
// tenant is suspended makes no difference.
func TestFindID(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	own := f.naming("acme")
	webhook := own.newWebhook(t, "user.created")
	event := own.publish(t, "1")
	delivery := own.get(t, "/v1/deliveries").list(t, "deliveries")[0]["id"].(string)
	replay := own.replay(t, webhook, `{"since":"2026-01-01T00:00:00Z","status":"all"}`).object(t, http.StatusAccepted)["id"].(string)
	gone := own.newWebhook(t, "user.deleted")
	require.Equal(t, http.StatusNoContent, own.do(t, http.MethodDelete, "/v1/webhooks/"+gone, "", nil).status)
	f.customer(t, "other")
	key, other := f.as(f.newKey(t, acme, hook.ScopeRead)), f.client.naming("other")
	session := f.as(f.newSession(t, acme, hook.CapabilityView))
	for _, status := range []string{"active", "suspended"} {
		f.setStatus(t, acme, status)
		for id, kind := range map[string]string{
			delivery: "delivery", event: "event", webhook: "webhook", gone: "webhook", replay: "replay", acme.String(): "tenant",
		} {
			want := [][3]string{{kind, id, acme.String()}}
			for name, c := range map[string]*client{"all": f.client.naming("*"), "named": own.client, "key": key, "session": session} {
				require.Equal(t, want, found(t, c, id), "%s %s", name, kind)
			}
			for name, c := range map[string]*client{"default": f.client, "other": other} {
				require.Empty(t, found(t, c, id), "%s %s", name, kind)
			}
		}
	}
	e, err := hook.ParseEventID(event)
	require.NoError(t, err)
	require.Equal(t, [][3]string{{"event", event, acme.String()}}, found(t, f.client.naming("*"), e.UUID()), "a UUID")
	require.Empty(t, found(t, f.client.naming("*"), "del_01kab1s6rzfkqbzry2kztmfpx1"))
	f.as(f.newKey(t, acme, hook.ScopeRead)).naming("*").get(t, "/v1/find?id="+event).problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
}

// What belongs to a tenant that is being deleted is found as long as it is there.
func TestFindIDOfADeletedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	event := f.naming("acme").publish(t, "1")
	f.do(t, "DELETE", "/v1/tenants/acme", "", nil).object(t, http.StatusAccepted)
	all := f.client.naming("*")
	require.Equal(t, [][3]string{{"tenant", acme.String(), acme.String()}}, found(t, all, acme.String()))
	require.Equal(t, [][3]string{{"event", event, acme.String()}}, found(t, all, event))
	f.eraseTenant(t, acme)
	require.Empty(t, found(t, all, acme.String()))
	require.Empty(t, found(t, all, event))
}

// A text that is no id is refused by name.
func TestFindIDRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, id := range []string{"order_4711", "key_01kab1s6rzfkqbzry2kztmfpx1", "del_1", "del_01kab1s6rzfkqbzry2kztmfpx\x00"} {
		f.get(t, "/v1/find?id="+url.QueryEscape(id)).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, "query.id")
	}
	f.get(t, "/v1/find").problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, "query.id")
}

// A key that is limited to topics finds what its reads find.
func TestFindIDOfALimitedKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	hidden := f.publish(t, "1")
	shown := f.post(t, "/v1/events", `{"type":"file.uploaded","data":1}`).object(t, http.StatusAccepted)["id"].(string)
	key := f.as(f.newLimitedKey(t, "file.*", hook.ScopeRead))
	require.Len(t, found(t, key, shown), 1)
	require.Empty(t, found(t, key, hidden))
	for _, d := range f.get(t, "/v1/deliveries").list(t, "deliveries") {
		require.Equal(t, d["event_id"] == shown, len(found(t, key, d["id"].(string))) == 1)
	}
}
