package storage_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// K7: concurrent creations don't exceed the limit, whether it is the tenant's own or the default, and a limit that is set
// meanwhile is never below what there is.
func TestMaxWebhooksTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.Store = openLimited(t, f.url, storage.Limits{Webhooks: 7})
	acme := f.customer(t, "acme")
	for round, most := range []int{7, 11} {
		var made atomic.Int64
		var g errgroup.Group
		for n := range 20 {
			g.Go(func() error {
				w := hook.Webhook{TenantID: acme, URL: "https://example.com", Events: []string{"user.created"}, Secret: "whsec_abc123", Active: true}
				if n%2 == 1 {
					w.Profile = hook.ProfileCommenda
				}
				w.Normalize()
				_, err := f.CreateWebhook(t.Context(), w)
				if hook.KindOf(err) == hook.KindLimit {
					return nil
				}
				made.Add(1)
				return err
			})
		}
		require.NoError(t, g.Wait())
		require.Equal(t, most, scalar[int](t, f, `select count(*) from webhooks where tenant_id = $1`, [16]byte(acme)))
		if round == 0 {
			require.EqualValues(t, 7, made.Load())
			_, err := f.UpdateTenant(t.Context(), "acme", func(tenant *hook.Tenant) error {
				tenant.Limits.MaxWebhooks = new(11)
				return nil
			})
			require.NoError(t, err)
		}
	}
	_, err := f.UpdateTenant(t.Context(), "acme", func(tenant *hook.Tenant) error {
		tenant.Limits.MaxWebhooks = new(10)
		return nil
	})
	requireKind(t, hook.KindLimit, err)
	require.ErrorContains(t, err, "less than the 11 webhooks")
	require.Equal(t, 11, scalar[int](t, f, `select max_webhooks from tenants where external_id = 'acme'`))
}

// K7: a change of the limit and creations at the same time never leave more webhooks than the limit.
func TestLimitingAndCreatingTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	var g errgroup.Group
	for range 10 {
		g.Go(func() error {
			w := hook.Webhook{TenantID: acme, URL: "https://example.com", Events: []string{"user.created"}, Secret: "whsec_abc123", Active: true}
			w.Normalize()
			_, err := f.CreateWebhook(t.Context(), w)
			if hook.KindOf(err) == hook.KindLimit {
				return nil
			}
			return err
		})
	}
	g.Go(func() error {
		_, err := f.UpdateTenant(t.Context(), "acme", func(tenant *hook.Tenant) error {
			tenant.Limits.MaxWebhooks = new(5)
			return nil
		})
		if hook.KindOf(err) == hook.KindLimit {
			return nil
		}
		return err
	})
	require.NoError(t, g.Wait())
	require.True(t, scalar[bool](t, f, `
		select max_webhooks is null or max_webhooks >= (select count(*) from webhooks where tenant_id = $1) from tenants where id = $1`, [16]byte(acme)))
}

// K7: a tenant's own rate comes with its key, also from the publish cache, and a change of it holds at once in the process
// that made it.
func TestPublishRateIsCached(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "k", Scopes: []hook.Scope{hook.ScopePlatform}}, "gk_platform")
	require.NoError(t, err)
	_, ok := f.CachedPublishRate(acme)
	require.False(t, ok)
	f.exec(t, `update tenants set publish_rate = 7 where external_id = 'acme'`)
	found, err := f.Authenticate(t.Context(), hook.HashKey("gk_platform"), "acme")
	require.NoError(t, err)
	require.Equal(t, new(7), found.PublishRate)
	found, err = f.Authenticate(t.Context(), hook.HashKey("gk_platform"), "")
	require.NoError(t, err)
	require.Nil(t, found.PublishRate)
	for tenant, want := range map[hook.TenantID]*int{acme: new(7), hook.DefaultTenant(): nil} {
		rate, ok := f.CachedPublishRate(tenant)
		require.True(t, ok)
		require.Equal(t, want, rate)
	}
	_, err = f.UpdateTenant(t.Context(), "acme", func(tenant *hook.Tenant) error {
		tenant.Limits.PublishRate = new(9)
		return nil
	})
	require.NoError(t, err)
	rate, _ := f.CachedPublishRate(acme)
	require.Equal(t, new(9), rate)
}
