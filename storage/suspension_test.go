package storage_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
)

// setStatus changes the status of a tenant.
func (f *fixture) setStatus(t *testing.T, id hook.TenantID, status hook.TenantStatus) hook.Tenant {
	t.Helper()
	changed, err := f.UpdateTenant(t.Context(), id.String(), func(t *hook.Tenant) error {
		t.Status = status
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, status, changed.Status)
	return changed
}

// publishFor publishes for a tenant, with a key of idempotency if it is not empty.
func (f *fixture) publishFor(t *testing.T, id hook.TenantID, key string, p hook.Preconditions) (hook.Accepted, error) {
	t.Helper()
	return f.Publish(t.Context(), hook.Publication{TenantID: id, Type: "user.created", Data: eventData(), IdempotencyKey: key, Preconditions: p})
}

// K8: the statement that stores an event refuses it for a suspended tenant, whatever is cached, single or in a batch, with
// an idempotency key or without, and takes no key. Others in the statement are stored.
func TestPublishForASuspendedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme, other := f.customer(t, "acme"), f.customer(t, "other")
	_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: acme, Name: "k", Scopes: []hook.Scope{hook.ScopePublish}}, "gk_acme")
	require.NoError(t, err)
	cached := hook.Preconditions{Key: hook.HashKey("gk_acme")}
	first, err := f.publishFor(t, acme, "first", cached)
	require.NoError(t, err)
	f.setStatus(t, acme, hook.TenantSuspended)
	for _, key := range []string{"", "second"} {
		for _, p := range []hook.Preconditions{{}, cached} {
			_, err = f.publishFor(t, acme, key, p)
			requireKind(t, hook.KindSuspended, err)
			accepted, errs := f.PublishAll(t.Context(), []hook.Publication{
				{TenantID: acme, Type: "user.created", Data: eventData(), IdempotencyKey: key, Preconditions: p},
				{TenantID: other, Type: "user.created", Data: eventData(), IdempotencyKey: key},
				{TenantID: hook.TenantID{1}, Type: "user.created", Data: eventData()},
			})
			requireKind(t, hook.KindSuspended, errs[0])
			require.NoError(t, errs[1])
			require.NotZero(t, accepted[1].Event.ID)
			requireKind(t, hook.KindNoTenant, errs[2])
		}
	}
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from events where tenant_id = $1`, [16]byte(acme)))
	again, err := f.publishFor(t, acme, "first", hook.Preconditions{})
	require.NoError(t, err, "a repeat publishes nothing (S8)")
	require.True(t, again.Duplicate)
	require.Equal(t, first.Event.ID, again.Event.ID)
	f.setStatus(t, acme, hook.TenantActive)
	_, err = f.publishFor(t, acme, "second", cached)
	require.NoError(t, err, "the key was free")
}

// K8: the look-up says that the tenant is suspended, and leaves nothing in the publish cache.
func TestAuthenticateForASuspendedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	for text, k := range map[hook.Secret]hook.APIKey{
		"gk_own":      {TenantID: acme, Name: "own", Scopes: []hook.Scope{hook.ScopePublish}},
		"gk_platform": {TenantID: hook.DefaultTenant(), Name: "platform", Scopes: []hook.Scope{hook.ScopePublish, hook.ScopePlatform}},
	} {
		_, err := f.CreateKey(t.Context(), k, text)
		require.NoError(t, err)
	}
	look := func(text hook.Secret, named string, want bool) {
		t.Helper()
		found, err := f.Authenticate(t.Context(), hook.HashKey(text), named)
		require.NoError(t, err)
		require.Equal(t, want, found.Suspended)
	}
	for _, status := range []hook.TenantStatus{hook.TenantActive, hook.TenantSuspended, hook.TenantActive} {
		f.setStatus(t, acme, status)
		want := status == hook.TenantSuspended
		look("gk_own", "", want)
		look("gk_own", "acme", want)
		look("gk_platform", "acme", want)
		look("gk_platform", "", false)
		_, named := f.CachedTenant("acme")
		require.Equal(t, !want, named)
		_, own := f.CachedKey(hook.HashKey("gk_own"))
		require.Equal(t, !want, own)
		_, platform := f.CachedKey(hook.HashKey("gk_platform"))
		require.True(t, platform)
	}
}

// K8: events wait at the accept for webhooks that are held; operational events are stored for suspended tenants, and wait.
func TestDeliveriesOfASuspendedTenantWait(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, func(w *hook.Webhook) { w.Events = []string{"user.created", hook.TypeDeliveryFailed} })
	id := f.delivery(t, w)
	f.setStatus(t, hook.DefaultTenant(), hook.TenantSuspended)
	require.Equal(t, hook.StatusDisabled, f.status(t, w))
	require.Equal(t, hook.ReasonSuspended, f.reason(t, w))
	for range 5 { // attempts that were under way
		f.attempt(t, id, answered(500))
	}
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from deliveries where parked and event_type = 'delivery.failed' and next_attempt_at is not null`))
	_, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: eventData()})
	requireKind(t, hook.KindSuspended, err)
	page, err := f.Deferred(t.Context(), w.ID, 10)
	require.NoError(t, err)
	require.True(t, page.Held())
	f.setStatus(t, hook.DefaultTenant(), hook.TenantActive)
	require.Equal(t, []hook.WebhookID{w.ID}, must(f.LostDrains(t.Context(), 30*time.Second, 10)), "a sweeper wakes the drain")
}

// K8: when the suspension is answered, no transaction that began before stores anything any more.
func TestSuspensionWaitsForWriters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	_, err = tx.Exec(t.Context(), `lock table events in row exclusive mode`) // as a statement that stores events has it
	require.NoError(t, err)
	answered := make(chan error, 1)
	go func() {
		_, err := f.UpdateTenant(context.WithoutCancel(t.Context()), acme.String(), func(t *hook.Tenant) error {
			t.Status = hook.TenantSuspended
			return nil
		})
		answered <- err
	}()
	require.Eventually(t, func() bool {
		return scalar[string](t, f, `select status from tenants where id = $1`, [16]byte(acme)) == "suspended"
	}, 10*time.Second, time.Millisecond)
	select {
	case err := <-answered:
		require.Fail(t, "it is answered although a writer is under way", "%v", err)
	default:
	}
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-answered)
}

// K8: a webhook that is being created when the tenant is suspended is held like the others.
func TestSuspensionWaitsForNewWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	var g errgroup.Group
	for i := range 20 {
		g.Go(func() error {
			w := hook.Webhook{TenantID: acme, URL: fmt.Sprintf("https://example.com/%d", i), Events: []string{"user.created"}, Secret: "whsec_abc123", Active: true}
			w.Normalize()
			_, err := f.CreateWebhook(t.Context(), w)
			return err
		})
		if i == 10 {
			g.Go(func() error {
				_, err := f.UpdateTenant(t.Context(), "acme", func(t *hook.Tenant) error {
					t.Status = hook.TenantSuspended
					return nil
				})
				return err
			})
		}
	}
	require.NoError(t, g.Wait())
	require.Equal(t, 20, scalar[int](t, f, `select count(*) from webhooks where suspended_at is not null`))
}

// S14, K8: the time of a suspension is no time of failing.
func TestSuspensionIsNoFailing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.exec(t, `update webhooks set failing_since = now() - interval '1 day'`)
	f.setStatus(t, hook.DefaultTenant(), hook.TenantSuspended)
	f.exec(t, `update webhooks set suspended_at = now() - interval '10 days', failing_since = now() - interval '11 days'`)
	f.setStatus(t, hook.DefaultTenant(), hook.TenantActive)
	days := scalar[float64](t, f, `select extract(epoch from now() - failing_since) / 86400 from webhooks where id = $1`, [16]byte(w.ID))
	require.InDelta(t, 1, days, 0.01)
}
