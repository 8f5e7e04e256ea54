package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// A deleted webhook is known, with its log, until the log is gone, whichever process deleted it. If several
// webhooks had a name, the last one is found.
func TestLoggedWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	named := func() hook.Webhook {
		return f.webhook(t, func(w *hook.Webhook) {
			w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, "chat", "translator", []string{"room"}
		})
	}
	byID := func(w hook.Webhook) (hook.Logged, error) {
		return f.LoggedWebhook(t.Context(), hook.OneTenant(w.TenantID), w.ID)
	}
	byName := func() (hook.Logged, error) {
		return f.LoggedWebhookNamed(t.Context(), hook.DefaultTenant(), "chat", "translator")
	}
	first := named()
	got, err := byID(first)
	require.NoError(t, err)
	require.Equal(t, hook.Logged{ID: first.ID, Profile: hook.ProfileMomento, Cache: "chat"}, got)
	require.NoError(t, f.DeleteWebhook(t.Context(), first.TenantID, first.ID))
	second := named()
	got, err = byName()
	require.NoError(t, err)
	require.Equal(t, hook.Logged{ID: second.ID, Profile: hook.ProfileMomento, Cache: "chat"}, got, "the one that is there")
	f.exec(t, `delete from webhooks where id = $1`, [16]byte(second.ID)) // as an older binary deletes it
	for _, find := range []func() (hook.Logged, error){byName, func() (hook.Logged, error) { return byID(second) }} {
		got, err = find()
		require.NoError(t, err)
		require.Equal(t, second.ID, got.ID)
		require.WithinDuration(t, time.Now(), *got.DeletedAt, time.Minute)
	}
	_, err = f.LoggedWebhook(t.Context(), hook.OneTenant(other), first.ID)
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))
	_, err = f.LoggedWebhookNamed(t.Context(), other, "chat", "translator")
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))

	f.exec(t, `update deleted_webhooks set deleted_at = now() - interval '31 days' where id = $1`, [16]byte(first.ID))
	_, err = f.DropOldPartitions(t.Context(), 30*24*time.Hour)
	require.NoError(t, err)
	_, err = byID(first)
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))
	_, err = byID(second)
	require.NoError(t, err)
}
