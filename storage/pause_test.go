package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// pause pauses or resumes the webhook.
func (f *fixture) pause(t *testing.T, w hook.Webhook, pause bool) hook.Webhook {
	t.Helper()
	w, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
		w.Pause(pause, time.Now().UTC().Truncate(time.Microsecond))
		return nil
	})
	require.NoError(t, err)
	return w
}

// Deliveries for a paused webhook are deferred, and its drain knows the reason.
func TestPause(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	since := f.pause(t, w, true).PausedAt
	require.NotNil(t, since)
	require.Equal(t, since, f.pause(t, w, true).PausedAt, "since when it has been paused")
	require.Equal(t, since, f.health(t, w).PausedAt)
	require.Equal(t, "disabled", f.status(t, w))
	require.Contains(t, f.reason(t, w), "paused by the client")

	a := f.publish(t, "user.created")
	require.Zero(t, a.Due)
	require.Equal(t, []hook.WebhookID{w.ID}, a.Undrained)
	b := f.backlog(t, w, 10)
	require.Equal(t, 1, b.Waiting)
	require.Equal(t, since, b.PausedAt)
	require.NotNil(t, b.Jobs[0].Webhook.PausedAt)

	require.Nil(t, f.pause(t, w, false).PausedAt)
	require.Nil(t, f.backlog(t, w, 10).PausedAt)
	require.Empty(t, f.reason(t, w))
	require.Equal(t, 1, f.publish(t, "user.created").Due)
}

// A pause loses no delivery: one that was deferred for more than a day still gets a full day if the endpoint turns
// out to be unavailable.
func TestPauseDoesNotCountAsWaiting(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.pause(t, w, true)
	f.publish(t, "user.created")
	f.pause(t, w, false)
	f.exec(t, `update deliveries set created_at = now() - interval '3 days'`)
	require.Empty(t, must(f.ExpireDeferred(t.Context(), w.ID, hook.DeferredFor, 10)).Deliveries)
	f.exec(t, `update webhooks set resumed_at = now() - interval '25 hours'`)
	require.Len(t, must(f.ExpireDeferred(t.Context(), w.ID, hook.DeferredFor, 10)).Deliveries, 1)
}
