package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// customer makes a tenant with an external id.
func (f *fixture) customer(t *testing.T, externalID string) hook.TenantID {
	t.Helper()
	made, created, err := f.put(t.Context(), externalID, "made")
	require.NoError(t, err)
	require.True(t, created)
	return made.ID
}

// put puts a tenant with a name.
func (f *fixture) put(ctx context.Context, externalID, name string) (hook.Tenant, bool, error) {
	return f.PutTenant(ctx, externalID,
		func() (hook.Tenant, error) { return hook.Tenant{Name: name}, nil },
		func(t *hook.Tenant) error { t.Name = name; return nil })
}

// K2: concurrent puts of an external id make one tenant, and the last change stays.
func TestPutTenantTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var g errgroup.Group
	made := make([]bool, 20)
	ids := make([]hook.TenantID, len(made))
	for i := range made {
		g.Go(func() error {
			tenant, created, err := f.put(t.Context(), "acme", fmt.Sprint(i))
			made[i], ids[i] = created, tenant.ID
			return err
		})
	}
	require.NoError(t, g.Wait())
	count := 0
	for i := range made {
		require.Equal(t, ids[0], ids[i])
		if made[i] {
			count++
		}
	}
	require.Equal(t, 1, count)
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from tenants where external_id = 'acme'`))
}

// K2: what a tenant has is stored as it is, and an external id is given once.
func TestTenantIsStored(t *testing.T) {
	t.Parallel()
	f := setup(t)
	want := hook.Tenant{
		ExternalID: strings.Repeat("é", 255), Name: "acme", Metadata: map[string]string{"a": `"\ ünï`}, Status: hook.TenantActive,
		Limits: hook.TenantLimits{MaxWebhooks: new(0), PublishRate: new(7)},
	}
	require.NoError(t, want.Validate())
	made, _, err := f.CreateTenant(t.Context(), want, "gk_first")
	require.NoError(t, err)
	for _, name := range []string{made.ID.String(), want.ExternalID} {
		got, err := f.FindTenant(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, made, got)
		require.True(t, got.Equal(&made))
	}
	require.Equal(t, want.Metadata, made.Metadata)
	require.Equal(t, want.Limits, made.Limits)
	_, _, err = f.CreateTenant(t.Context(), want, "gk_second")
	requireKind(t, hook.KindConflict, err)
	changed, err := f.UpdateTenant(t.Context(), want.ExternalID, func(t *hook.Tenant) error {
		t.ExternalID, t.Metadata = "other", nil
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, want.ExternalID, changed.ExternalID)
	require.Empty(t, changed.Metadata)
	for _, name := range []string{"", "*", "nobody", "ten_", "ten_x", hook.TenantID{1}.String(), "a\x00b", " acme"} {
		_, err := f.FindTenant(t.Context(), name)
		requireKind(t, hook.KindNoTenant, err)
	}
}

// People may name a tenant by its name as well, unless several have it.
func TestTenantByName(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "a-1")
	id, err := f.Tenant(t.Context(), "made")
	require.NoError(t, err)
	require.Equal(t, acme, id)
	id, err = f.Tenant(t.Context(), "a-1")
	require.NoError(t, err)
	require.Equal(t, acme, id)
	f.customer(t, "a-2")
	_, err = f.Tenant(t.Context(), "made")
	requireKind(t, hook.KindConflict, err)
	_, _, err = f.CreateTenant(t.Context(), hook.Tenant{Name: "default"}, "gk_1")
	require.NoError(t, err)
	id, err = f.Tenant(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, hook.DefaultTenant(), id, "nobody else is called default by mistake")
}

// K3: one look-up finds the key and the tenant that the request names.
func TestAuthenticateForATenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	_, err := f.CreateKey(t.Context(), hook.APIKey{
		TenantID: hook.DefaultTenant(), Name: "k", Scopes: []hook.Scope{hook.ScopePublish, hook.ScopePlatform},
	}, "gk_platform")
	require.NoError(t, err)
	_, _, err = f.PutEventType(t.Context(), acme, hook.NewEventType{Name: "invoice.paid", Schema: []byte(`{}`)})
	require.NoError(t, err)
	var g errgroup.Group
	for name, want := range map[string]hook.TenantID{
		"": {}, "acme": acme, acme.String(): acme, "nobody": {}, "*": {}, "ten_x": {}, hook.TenantID{1}.String(): {}, "default": hook.DefaultTenant(),
	} {
		g.Go(func() error {
			found, err := f.Authenticate(t.Context(), hook.HashKey("gk_platform"), name)
			if err != nil || found.Named != want || found.Schemas != (want == acme) || !found.Key.Platform() || found.Key.TenantID != hook.DefaultTenant() {
				return fmt.Errorf("%q: %+v, %w", name, found, err)
			}
			cached, ok := f.CachedTenant(name)
			if ok != (want != hook.TenantID{}) || cached != want {
				return fmt.Errorf("%q: cached %v, %v", name, cached, ok)
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	f.exec(t, `delete from event_types`)
	f.exec(t, `delete from tenants where external_id = 'acme'`)
	_, err = f.Authenticate(t.Context(), hook.HashKey("gk_platform"), "acme")
	require.NoError(t, err)
	_, ok := f.CachedTenant("acme")
	require.False(t, ok, "a look-up that finds no tenant takes it out of the cache")
}

// K3: an event that was checked with a platform key is stored only while the key is one and the tenant exists.
func TestPublishForATenant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string // SQL, run as another process would
		scopes []hook.Scope
		stored bool
	}{
		"platform key":        {``, []hook.Scope{hook.ScopePublish, hook.ScopePlatform}, true},
		"operator's key":      {`update api_keys set operator = true, scopes = '{admin}'`, []hook.Scope{hook.ScopePublish}, true},
		"another's key":       {``, []hook.Scope{hook.ScopeAdmin}, false},
		"revoked":             {`update api_keys set revoked_at = now()`, []hook.Scope{hook.ScopePlatform}, false},
		"expired":             {`update api_keys set expires_at = now() - interval '1 ms'`, []hook.Scope{hook.ScopePlatform}, false},
		"no platform key now": {`update api_keys set scopes = '{admin}'`, []hook.Scope{hook.ScopePlatform}, false},
		"tenant gone":         {`delete from tenants where external_id = 'acme'`, []hook.Scope{hook.ScopePlatform}, false},
	} {
		for _, key := range []string{"", "order-1"} {
			t.Run(name+key, func(t *testing.T) {
				t.Parallel()
				f := setup(t)
				acme := f.customer(t, "acme")
				_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "k", Scopes: c.scopes}, "gk_1")
				require.NoError(t, err)
				if c.change != "" {
					f.exec(t, c.change)
				}
				_, err = f.Publish(t.Context(), hook.Publication{
					TenantID: acme, Type: "user.created", Data: eventData(), IdempotencyKey: key, Preconditions: hook.Preconditions{Key: hook.HashKey("gk_1")},
				})
				if !c.stored {
					requireKind(t, map[bool]hook.Kind{true: hook.KindNoTenant, false: hook.KindPrecondition}[name == "tenant gone"], err)
					require.Zero(t, scalar[int](t, f, `select count(*) from events`))
					return
				}
				require.NoError(t, err)
				require.Equal(t, 1, scalar[int](t, f, `select count(*) from events where tenant_id = $1`, [16]byte(acme)))
			})
		}
	}
}

// K3: only the tenant "default" can have a platform key, whatever stores it.
func TestPlatformKeysBelongToNoTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: acme, Name: "k", Scopes: []hook.Scope{hook.ScopePlatform}}, "gk_1")
	require.Error(t, err)
}

// K4: a list over all tenants reads the newest rows by their ids, and sorts nothing.
func TestListsOverAllTenantsUseIndexes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(t, `
		insert into webhooks (id, tenant_id, profile, url, events, secret, active, timeout_ms, max_attempts, created_at, updated_at)
		select encode(int8send(n) || int8send(n), 'hex')::uuid, $1, 'standard', 'https://example.com', '{user.created}', '', true, 15000, 5, now(), now()
		from generate_series(1, 3000) n`, [16]byte(hook.DefaultTenant()))
	f.exec(t, `
		insert into replays (id, tenant_id, webhook_id, status, event_types, since, until, rate, state, cursor, created_at, updated_at, ended_at)
		select w.id, w.tenant_id, w.id, 'all', '{}', now(), now(), 1, 'completed', w.id, now(), now(), now() from webhooks w`)
	f.exec(t, `analyze webhooks, replays`)
	p := hook.Page{Limit: 20}
	for name, page := range map[string][]storage.Statement{
		"webhooks":             storage.AllWebhooksPage(hook.WebhookFilter{Event: "user.created"}, p),
		"replays":              storage.ReplaysPage(hook.TenantFilter{All: true}, nil, p),
		"replays of a webhook": storage.ReplaysPage(hook.TenantFilter{All: true}, &hook.WebhookID{1}, p),
		"events":               storage.EventsPage(hook.TenantFilter{All: true}, hook.EventFilter{}, p),
		"tenants":              storage.TenantsPage(hook.TenantSearch{}, p),
	} {
		if _, ok := page[0].Args["active"]; ok {
			page[0].Args["active"] = true
		}
		plan := explain(t, f, page[0])
		require.NotContains(t, plan.types(), "Sort", name)
		require.NotContains(t, plan.types(), "Seq Scan", name)
		if name == "webhooks" || name == "replays" {
			require.Less(t, plan.read(), 50.0, name)
		}
	}
}
