package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// The labels that Temporal shows for drains and replays name the webhook and its tenant.
func TestLabels(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := f.tenant(t, "acme")
	w := f.webhook(t, ofTenant(tenant))
	want := hook.Label{TenantID: tenant, Tenant: "acme", WebhookID: w.ID, Webhook: "example.com"}
	require.Equal(t, want, must(f.DrainLabel(t.Context(), w.ID)))
	r, err := f.CreateReplay(t.Context(), hook.Replay{
		TenantID: tenant, WebhookID: w.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 1,
	})
	require.NoError(t, err)
	require.Equal(t, want, must(f.ReplayLabel(t.Context(), r.ID)))

	topic := f.webhook(t, func(h *hook.Webhook) {
		h.Profile, h.Cache, h.Name, h.Events = hook.ProfileMomento, "chat", "translator", []string{"rooms"}
	})
	require.Equal(t, "chat/translator example.com", must(f.DrainLabel(t.Context(), topic.ID)).Webhook)

	require.NoError(t, f.DeleteWebhook(t.Context(), tenant, w.ID))
	_, err = f.DrainLabel(t.Context(), w.ID)
	requireKind(t, hook.KindNotFound, err)
	_, err = f.ReplayLabel(t.Context(), r.ID)
	requireKind(t, hook.KindNotFound, err)
}
