package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// K10: a platform key reads a tenant's usage as the tenant does its own, and that of every tenant, page by page.
func TestUsageOfTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a, b := f.customer(t, "a/1 é"), f.customer(t, "b")
	now := time.Now().UTC()
	hour, day := now.Truncate(time.Hour), now.Truncate(24*time.Hour)
	for tenant, events := range map[hook.TenantID]int{a: 1, b: 10} {
		for i := range 3 {
			for table, at := range map[string]time.Time{"tenant_usage": day.AddDate(0, 0, -i), "usage_deltas": hour} {
				f.exec(t, `insert into `+table+` (tenant_id, hour, events, deliveries, bytes, attempts, successes) values ($1, $2, $3, 2, 3, 5, 4)`, [16]byte(tenant), at, events)
			}
		}
	}
	own := f.naming("b").get(t, "/v1/usage").object(t, http.StatusOK)
	for _, name := range []string{"b", b.String()} {
		u := f.get(t, "/v1/tenants/"+name+"/usage").object(t, http.StatusOK)
		require.Equal(t, own["total"], u["total"])
		periods := objects(t, u["periods"])
		require.Len(t, periods, 3)
		for i, p := range periods {
			require.Equal(t, []any{b.String(), "b"}, []any{p["tenant_id"], p["external_id"]})
			delete(p, "tenant_id")
			delete(p, "external_id")
			require.Equal(t, objects(t, own["periods"])[i], p)
		}
		require.Nil(t, u["next_cursor"])
	}
	for _, by := range []string{"day", "hour"} {
		since := "&since=" + day.AddDate(0, 0, -2).Format(time.RFC3339)
		all := f.get(t, "/v1/tenants/*/usage?by="+by+since).object(t, http.StatusOK)
		require.NotContains(t, all, "total")
		require.Nil(t, all["next_cursor"])
		want := objects(t, all["periods"])
		require.Equal(t, []any{a.String(), "a/1 é"}, []any{want[0]["tenant_id"], want[0]["external_id"]})
		for path, list := range map[string][]map[string]any{"*": want, a.String(): want[:len(want)/2], "b": want[len(want)/2:]} {
			var got []map[string]any
			query := since
			for cursor := ""; ; {
				page := f.get(t, "/v1/tenants/"+path+"/usage?limit=2&by="+by+query+cursor).object(t, http.StatusOK)
				require.Equal(t, []any{all["since"], all["until"]}, []any{page["since"], page["until"]})
				got = append(got, objects(t, page["periods"])...)
				next, ok := page["next_cursor"].(string)
				if !ok {
					break
				}
				cursor, query = "&cursor="+next, "" // the cursor has the time
			}
			require.Equal(t, list, got, "%s by %s", path, by)
		}
	}
	cursor := f.get(t, "/v1/tenants/*/usage?limit=1").object(t, http.StatusOK)["next_cursor"].(string)
	const path = "/v1/tenants/*/usage?cursor="
	f.get(t, path+cursor+"&until="+now.Format(time.RFC3339)).object(t, http.StatusOK)
	f.get(t, path+cursor+"&by=hour").refused(t, "query.by", "first page")
	f.get(t, path+cursor+"&since=2026-01-01T00:00:00Z").refused(t, "query.since", "first page")
	f.get(t, path+cursor+"&until=2026-01-01T00:00:00Z").refused(t, "query.until", "first page")
	f.get(t, path+cursor[:10]).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.get(t, "/v1/tenants/b/usage?cursor="+cursor).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.get(t, "/v1/tenants/*/usage?limit=1001").refused(t, "query.limit", "1000")
	f.get(t, "/v1/tenants/*/usage?since=2026-01-03T00:00:00Z&until=2026-01-02T00:00:00Z").refused(t, "query.since", "after until")
	f.get(t, "/v1/tenants/nobody/usage").problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
	f.as(f.newKey(t, b, hook.ScopeAdmin)).get(t, "/v1/tenants/b/usage").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead, hook.ScopePlatform)).get(t, "/v1/tenants/*/usage").object(t, http.StatusOK)
	f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopePublish, hook.ScopePlatform)).get(t, "/v1/tenants/*/usage").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	f.as(f.newLimitedKey(t, "user.*", hook.ScopeRead, hook.ScopePlatform)).get(t, "/v1/tenants/*/usage").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}

// K4: deliveries, the audit log, and events by reference over all tenants, newest first and page by page, each with its tenant.
func TestSearchesOverAllTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenants := []string{f.customer(t, "a").String(), f.customer(t, "b").String(), hook.DefaultTenant().String()}
	webhooks := map[string]string{}
	for _, tenant := range tenants {
		webhooks[tenant] = f.naming(tenant).newWebhook(t, "user.created")
	}
	for range 3 {
		for _, tenant := range tenants {
			f.naming(tenant).post(t, "/v1/events", `{"type":"user.created","data":1,"references":["order_1"]}`).object(t, http.StatusAccepted)
		}
	}
	f.exec(t, `update deliveries set state = 'failed', next_attempt_at = null, attempts = 5, status_code = 500, error = 'HTTP 500' where tenant_id <> $1`, [16]byte(hook.DefaultTenant()))
	everywhere := f.client.naming("*")
	owners := func(path, name string) (list []string) {
		for cursor := ""; ; {
			page := everywhere.get(t, path+"limit=2"+cursor).object(t, http.StatusOK)
			for _, item := range objects(t, page[name]) {
				list = append(list, item["tenant_id"].(string))
			}
			next, ok := page["next_cursor"].(string)
			if !ok {
				return list
			}
			cursor = "&cursor=" + next
		}
	}
	newest := []string{tenants[2], tenants[1], tenants[0], tenants[2], tenants[1], tenants[0], tenants[2], tenants[1], tenants[0]}
	require.Equal(t, newest, owners("/v1/deliveries?", "deliveries"))
	require.Equal(t, newest, owners("/v1/deliveries?reference=order_1&", "deliveries"))
	require.Equal(t, newest, owners("/v1/events?reference=order_1&type=user.*&", "events"))
	require.Len(t, owners("/v1/deliveries?undelivered=true&", "deliveries"), 6)
	require.Equal(t, []string{tenants[2], tenants[2], tenants[2]}, owners("/v1/deliveries?status=pending&", "deliveries"))
	require.Equal(t, []string{tenants[1], tenants[1], tenants[1]}, owners("/v1/deliveries?webhook_id="+webhooks[tenants[1]]+"&", "deliveries"))
	everywhere.get(t, "/v1/deliveries?webhook_id="+hook.WebhookID{1}.String()).refused(t, "query.webhook_id", "is not the id")
	require.Equal(t, []string{tenants[2], tenants[1], tenants[0]}, owners("/v1/audit-log?action=webhook.created&", "entries"))
	require.Equal(t, []string{tenants[1]}, owners("/v1/audit-log?target="+webhooks[tenants[1]]+"&", "entries"))
	for path, name := range map[string]string{"/v1/deliveries": "deliveries", "/v1/events?reference=order_1": "events"} {
		list := f.client.naming("a").get(t, path).list(t, name)
		require.Len(t, list, 3)
		for _, item := range list {
			require.NotContains(t, item, "tenant_id")
		}
	}
	limited := f.as(f.newLimitedKey(t, "project.*", hook.ScopeRead, hook.ScopePlatform)).naming("*")
	require.Empty(t, limited.get(t, "/v1/deliveries").list(t, "deliveries"), "the key's topics limit it over all tenants too")
}
