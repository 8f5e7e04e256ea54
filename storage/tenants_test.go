package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 0: a tenant "default" exists from the start.
func TestDefaultTenantExists(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, err := f.Tenant(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, hook.DefaultTenant(), id)
	_, err = f.Tenant(t.Context(), "nobody")
	requireKind(t, hook.KindNotFound, err)
}

// Spec 0: a tenant can neither see nor change another tenant's data, and gets none of its deliveries. The other
// tenant's ids look like ids that don't exist.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ours, theirs := hook.DefaultTenant(), f.tenant(t, "other")
	w := f.webhook(t, events("*"))
	event := f.publish(t, "user.created").Event
	deliveries, err := f.DeliveriesOfEvent(t.Context(), event.ID, 10)
	require.NoError(t, err)
	require.Len(t, deliveries, 1)
	key, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: ours, Name: "k", Scopes: []hook.Scope{hook.ScopeRead}}, "gk_1")
	require.NoError(t, err)
	_, _, err = f.PutEventType(t.Context(), ours, hook.NewEventType{Name: "own.type"})
	require.NoError(t, err)

	// each calls one method for a tenant with the ids above.
	each := map[string]func(hook.TenantID) error{
		"read webhook": func(tenant hook.TenantID) error {
			_, err := f.Webhook(t.Context(), tenant, w.ID)
			return err
		},
		"update webhook": func(tenant hook.TenantID) error {
			_, err := f.UpdateWebhook(t.Context(), tenant, w.ID, func(w *hook.Webhook) error {
				w.Description = tenant.String()
				return nil
			})
			return err
		},
		"read event": func(tenant hook.TenantID) error {
			_, err := f.Event(t.Context(), tenant, event.ID)
			return err
		},
		"read delivery": func(tenant hook.TenantID) error {
			_, err := f.Delivery(t.Context(), tenant, deliveries[0].ID)
			return err
		},
		"revoke key":     func(tenant hook.TenantID) error { return f.RevokeKey(t.Context(), tenant, key.ID, hook.RankTenant) },
		"delete webhook": func(tenant hook.TenantID) error { return f.DeleteWebhook(t.Context(), tenant, w.ID) },
	}
	for name, call := range each {
		require.Equal(t, hook.KindNotFound, hook.KindOf(call(theirs)), name)
	}
	p := hook.Page{Limit: 10}
	webhooks, _, err := f.Webhooks(t.Context(), theirs, hook.WebhookFilter{}, p)
	require.NoError(t, err)
	require.Empty(t, webhooks)
	list, _, err := f.Events(t.Context(), hook.OneTenant(theirs), hook.EventFilter{}, p)
	require.NoError(t, err)
	require.Empty(t, list)
	keys, _, err := f.Keys(t.Context(), theirs, hook.RankTenant, p)
	require.NoError(t, err)
	require.Empty(t, keys)
	types, _, err := f.EventTypes(t.Context(), theirs, hook.EventTypeFilter{}, hook.NamePage{Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Empty(t, types)
	foreign, err := f.Publish(t.Context(), hook.Publication{TenantID: theirs, Type: "user.created", Data: []byte("{}")})
	require.NoError(t, err)
	require.Zero(t, foreign.Event.Deliveries, "not even * crosses tenants")
	missed, err := f.NotDeliveredTo(t.Context(), foreign.Event, 10)
	require.NoError(t, err)
	require.Empty(t, missed)

	require.Equal(t, w, f.health(t, w), "nothing was changed")
	for _, name := range []string{"read webhook", "update webhook", "read event", "read delivery", "revoke key", "delete webhook"} {
		require.NoError(t, each[name](ours), name)
	}
}
