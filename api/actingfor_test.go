package api_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/secrets"
)

// customer makes a tenant with an external id.
func (f *fixture) customer(t *testing.T, externalID string) hook.TenantID {
	t.Helper()
	made := f.do(t, "PUT", "/v1/tenants/"+url.PathEscape(externalID), `{}`, nil).object(t, http.StatusCreated)
	id, err := hook.ParseTenantID(made["id"].(string))
	require.NoError(t, err)
	return id
}

// naming returns the same fixture, whose requests name a tenant.
func (f *fixture) naming(tenant string) *fixture {
	g := *f
	g.client = f.client.naming(tenant)
	return &g
}

// allTenants lists the operations on which Grapnel-Tenant may be *.
func allTenants() []string {
	return []string{
		"list-webhooks", "list-events", "list-replays", "search-deliveries", "list-audit-log", "list-portal-sessions",
		"get-stats", "list-webhook-stats", "get-changes", "find-id",
	}
}

// K3: a platform key acts for the tenant that the request names, by id or by external id, on all three surfaces, and
// reaches nothing of others. Without the header it acts for the tenant default.
func TestPlatformKeysActForTheNamedTenant(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = time.Millisecond })
	acme := f.customer(t, "acme/1 é")
	f.customer(t, "other")
	key := f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin, hook.ScopePlatform)
	for _, name := range []string{acme.String(), "acme/1 é"} {
		f := f.naming(name)
		require.Less(t, f.do(t, "PUT", "/v1/event-types/invoice.paid", "", nil).status, http.StatusBadRequest)
		var ids map[string]string
		everyOperation(t, func(_ string, _ *huma.Operation, c call) {
			if c.public() {
				return
			}
			if ids == nil {
				ids = f.resources(t)
			}
			if strings.Contains(c.path, "{") && !c.platform() {
				for _, elsewhere := range []string{"", "other"} {
					f.as(key).naming(elsewhere).do(t, c.method, c.with(ids), c.filled(ids), nil).problem(t, http.StatusNotFound, "NOT_FOUND")
				}
			}
			a := f.as(key).naming(name).do(t, c.method, c.with(ids), c.filled(ids), nil)
			require.Equal(t, c.status, a.status, "%s for %s: %s", c.id, name, a.body)
			if c.changes(a) {
				ids = nil
			}
		})
	}
	require.Zero(t, value[int](t, f, `select count(*) from webhooks where tenant_id <> $1`, [16]byte(acme)))
	require.Zero(t, value[int](t, f, `select count(*) from events where tenant_id <> $1`, [16]byte(acme)))
	require.Zero(t, value[int](t, f, `select count(*) from replays where tenant_id <> $1`, [16]byte(acme)))
}

// K3, K4: whatever names no tenant for which the key may act is the same 404, on every operation. * is 422 where it is
// not for a list over all tenants.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = time.Millisecond })
	ids := f.resources(t)
	theirs := f.customer(t, "theirs")
	own := f.customer(t, "mine")
	ids["acting"] = "mine"
	tenantKey, platform := f.newKey(t, own, hook.ScopeAdmin), f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin, hook.ScopePlatform)
	refused := func(c call, key, name string) string {
		a := f.as(key).do(t, c.method, c.with(ids), c.filled(ids), map[string]string{"Grapnel-Tenant": name})
		require.Contains(t, a.problem(t, http.StatusNotFound, "TENANT_NOT_FOUND").at(t, "header.Grapnel-Tenant"), "may act for")
		return string(a.body)
	}
	everyOperation(t, func(_ string, _ *huma.Operation, c call) {
		if c.public() {
			return
		}
		unknown := refused(c, platform, "nobody")
		for _, name := range []string{hook.TenantID{1}.String(), "ten_x"} {
			require.Equal(t, unknown, refused(c, platform, name), c.id)
		}
		for _, name := range []string{"nobody", theirs.String(), "theirs", "default", "*"} {
			require.Equal(t, unknown, refused(c, tenantKey, name), c.id)
		}
		if !slices.Contains(allTenants(), c.id) {
			f.as(platform).naming("*").do(t, c.method, c.with(ids), c.filled(ids), nil).refused(t, "header.Grapnel-Tenant", "must name one tenant")
		}
		f.as(platform).naming(" ").do(t, c.method, c.with(ids), c.filled(ids), nil).refused(t, "header.Grapnel-Tenant", "must not be empty")
		without := f.as(tenantKey).do(t, c.method, c.with(ids), c.filled(ids), nil)
		for _, name := range []string{own.String(), "mine"} { // a tenant's key may name its own
			with := f.as(tenantKey).naming(name).do(t, c.method, c.with(ids), c.filled(ids), nil)
			require.Equal(t, without.status/100, with.status/100, "%s: %s", c.id, with.body)
			require.NotContains(t, string(with.body), "TENANT_NOT_FOUND")
		}
	})
}

// K4: over all tenants the lists have the things of every tenant, newest first and page by page, and say whose they are.
func TestListsOverAllTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenants := []string{hook.DefaultTenant().String(), f.customer(t, "a").String(), f.customer(t, "b").String()}
	for range 3 {
		for _, tenant := range tenants {
			f := f.naming(tenant)
			webhook := f.newWebhook(t, "user.created")
			f.publish(t, `1`)
			f.replay(t, webhook, `{"since":"2026-01-01T00:00:00Z","status":"all"}`).object(t, http.StatusAccepted)
		}
	}
	for path, name := range map[string]string{"/v1/webhooks": "webhooks", "/v1/events": "events", "/v1/replays": "replays"} {
		var owners, seen []string
		for cursor := ""; ; {
			page := f.client.naming("*").get(t, path+"?limit=2"+cursor).object(t, http.StatusOK)
			for _, item := range objects(t, page[name]) {
				owners, seen = append(owners, item["tenant_id"].(string)), append(seen, item["id"].(string))
			}
			next, ok := page["next_cursor"].(string)
			if !ok {
				break
			}
			cursor = "&cursor=" + next
		}
		slices.Reverse(owners)
		require.Equal(t, slices.Repeat(tenants, 3), owners, path)
		require.True(t, slices.IsSortedFunc(seen, func(a, b string) int { return strings.Compare(b, a) }), path)
		for _, item := range f.client.naming("a").get(t, path).list(t, name) {
			require.NotContains(t, item, "tenant_id")
		}
	}
	one := f.client.naming("*").get(t, "/v1/webhooks?event=user.created&active=true&profile=standard&limit=1").list(t, "webhooks")
	require.Len(t, one, 1)
	limited := f.newLimitedKey(t, "project.*", hook.ScopeRead, hook.ScopePlatform)
	require.Empty(t, f.as(limited).naming("*").get(t, "/v1/events").list(t, "events"), "the key's topics limit it over all tenants too")
}

// newLimitedKey makes a key of the tenant default that is limited to a pattern of topics.
func (f *fixture) newLimitedKey(t *testing.T, topic string, scopes ...hook.Scope) string {
	t.Helper()
	text := secrets.NewAPIKey()
	_, err := f.store.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "limited", Scopes: scopes, Topics: []string{topic}}, text)
	require.NoError(t, err)
	return text.Reveal()
}

// K3: the limits of a platform key (scopes, topics) hold whichever tenant it acts for.
func TestLimitsOfPlatformKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.customer(t, "acme")
	key := f.as(f.newLimitedKey(t, "user.*", hook.ScopePublish, hook.ScopePlatform)).naming("acme")
	key.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
	key.post(t, "/v1/events", `{"type":"project.created","data":1}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	key.get(t, "/v1/webhooks").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	key.get(t, "/v1/tenants").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	none := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopePlatform))
	for _, c := range calls() {
		if !c.public() {
			none.do(t, c.method, c.path, c.body, nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
		}
	}
}

// K3: topic tokens are for the tenant for which they were made, whichever key made them.
func TestTopicTokensOfPlatformKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.customer(t, "acme")
	acme := f.naming("acme")
	acme.say(t, "own", "own", "theirs")
	f.say(t, "own", "own", "default's")
	token := acme.post(t, "/v1/topic-tokens", `{"cache_name":"own","topics":["own"]}`).object(t, http.StatusCreated)["token"].(string)
	for _, c := range []*client{f.as(token), f.as(token).naming("acme")} {
		require.Equal(t, []string{"theirs"}, texts(t, c.get(t, "/topics/own/own?sequence_number=1")))
	}
	f.as(token).naming("default").get(t, "/topics/own/own").problem(t, http.StatusNotFound, "TENANT_NOT_FOUND")
}

// countingStore counts the look-ups of keys.
type countingStore struct {
	api.Store
	lookUps atomic.Int64
}

func (s *countingStore) Authenticate(ctx context.Context, hash hook.KeyHash, named string) (hook.Authentication, error) {
	s.lookUps.Add(1)
	return s.Store.Authenticate(ctx, hash, named)
}

// K3: publishing for a named tenant looks nothing up, after the first time. What the cache is wrong about is noticed when
// the event is stored: the publish is then repeated by what is true now.
func TestPublishingForANamedTenant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string // SQL, run as another process would
		code   string // of the refusal; empty for none
		status int
	}{
		"tenant gone":         {`delete from tenants where external_id = 'acme'`, "TENANT_NOT_FOUND", 404},
		"tenant made anew":    {`update tenants set id = '00000000-0000-7000-8000-0000000000ff' where external_id = 'acme'`, "", 202},
		"key revoked":         {`update api_keys set revoked_at = now()`, "UNAUTHENTICATED", 401},
		"no platform key now": {`update api_keys set scopes = '{publish}', operator = false`, "TENANT_NOT_FOUND", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &countingStore{}
			f := setup(t, func(d *api.Deps) {
				store.Store = d.Store
				d.Store = store
			})
			acme := f.customer(t, "acme")
			key := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopePublish, hook.ScopePlatform)).naming("acme")
			publish := func() answer { return key.post(t, "/v1/events", `{"type":"user.created","data":1}`) }
			before := store.lookUps.Load()
			for range 5 {
				publish().object(t, http.StatusAccepted)
			}
			require.EqualValues(t, 1, store.lookUps.Load()-before)
			require.Equal(t, 5, value[int](t, f, `select count(*) from events where tenant_id = $1`, [16]byte(acme)))

			f.exec(t, c.change)
			if c.code != "" {
				publish().problem(t, c.status, c.code)
				publish().problem(t, c.status, c.code)
				require.Equal(t, 5, value[int](t, f, `select count(*) from events`))
				return
			}
			publish().object(t, c.status)
			require.EqualValues(t, 2, store.lookUps.Load()-before)
			publish().object(t, c.status)
			require.EqualValues(t, 2, store.lookUps.Load()-before)
			require.Equal(t, 5, value[int](t, f, `select count(*) from events where tenant_id = $1`, [16]byte(acme)))
		})
	}
}

// K3: platform keys are created, listed and revoked by platform keys with the scope admin, and by no others.
func TestPlatformKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	const body = `{"name":"platform","scopes":["publish","platform"]}`
	made := f.post(t, "/v1/api-keys", body).object(t, http.StatusCreated)
	require.Equal(t, true, made["platform"])
	require.Equal(t, []any{"publish"}, made["scopes"])
	path := "/v1/api-keys/" + made["id"].(string)
	f.naming("acme").post(t, "/v1/api-keys", body).refused(t, "body.scopes", "belongs to no tenant")
	require.NotContains(t, f.naming("acme").post(t, "/v1/api-keys", `{"name":"own","scopes":["admin"]}`).object(t, http.StatusCreated), "platform")

	for _, other := range []*client{
		f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin)), f.as(f.newKey(t, acme, hook.ScopeAdmin)), f.as(f.newKey(t, acme, hook.ScopeAdmin)).naming("acme"),
	} {
		other.post(t, "/v1/api-keys", body).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
		for _, k := range other.get(t, "/v1/api-keys").list(t, "api_keys") {
			require.NotContains(t, k, "platform")
		}
		require.GreaterOrEqual(t, other.do(t, "DELETE", path, "", nil).status, http.StatusForbidden)
	}
	f.as(made["key"].(string)).post(t, "/v1/api-keys", body).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Zero(t, value[int](t, f, `select count(*) from api_keys where revoked_at is not null`))

	names := func() (names []string) {
		for _, k := range f.get(t, "/v1/api-keys").list(t, "api_keys") {
			if k["platform"] == true {
				names = append(names, k["name"].(string))
			}
		}
		return names
	}
	require.Equal(t, []string{"platform", "test"}, names(), "and the operator's own")
	admin := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin, hook.ScopePlatform))
	require.Equal(t, http.StatusNoContent, admin.do(t, "DELETE", path, "", nil).status)
	f.as(made["key"].(string)).get(t, "/v1/webhooks").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	operators := value[[16]byte](t, f, `select id from api_keys where operator`)
	admin.do(t, "DELETE", "/v1/api-keys/"+hook.KeyID(operators).String(), "", nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}
