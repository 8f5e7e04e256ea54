package storagetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// suspensionCases test what a suspension of the tenant does to its webhooks (K8).
func suspensionCases() map[string]func(*world) {
	return map[string]func(*world){
		"it holds every webhook, and the version tells": func(w *world) {
			a, b := w.webhook(), w.messageWebhook()
			id := w.delivery(a)
			before := w.job(id).Webhook.Version
			w.Suspend(w.t, true)
			for _, webhook := range []hook.WebhookID{a, b} {
				found := w.ReadWebhook(w.t, webhook)
				require.True(w.t, found.Held())
				require.Nil(w.t, found.PausedAt)
				require.Equal(w.t, hook.ReasonSuspended, found.StatusReason())
			}
			job := w.job(id)
			require.True(w.t, job.Webhook.Held())
			require.Greater(w.t, job.Webhook.Version, before, "whoever has loaded it before loads it again")
			require.Equal(w.t, hook.WaitSuspended, w.ReadDelivery(w.t, id).Waits.Reason)
			suspended := job.Webhook.Version
			w.Suspend(w.t, false)
			job = w.job(id)
			require.False(w.t, job.Webhook.Held())
			require.Greater(w.t, job.Webhook.Version, suspended)
		},
		"it wakes drains at both ends": func(w *world) {
			webhook := w.webhook()
			w.deferring(webhook, 2)
			for _, suspend := range []bool{true, false} {
				changes := w.page(webhook, 10).Changes
				w.Suspend(w.t, suspend)
				asleep, err := w.DrainSleeps(w.t.Context(), webhook, hook.Nap{In: time.Minute, Changes: changes})
				require.NoError(w.t, err)
				require.False(w.t, asleep)
				page := w.page(webhook, 10)
				require.Equal(w.t, suspend, page.Held())
				require.Equal(w.t, suspend, page.SuspendedAt != nil)
				require.Equal(w.t, 2, page.Waiting)
			}
		},
		"a webhook's own pause outlasts it": func(w *world) {
			webhook := w.webhook()
			w.pause(webhook, true)
			w.Suspend(w.t, true)
			w.Suspend(w.t, false)
			found := w.ReadWebhook(w.t, webhook)
			require.NotNil(w.t, found.PausedAt)
			require.Nil(w.t, found.SuspendedAt)
			require.NotNil(w.t, w.page(webhook, 1).PausedAt)
		},
		"a webhook that is created meanwhile is held too": func(w *world) {
			w.Suspend(w.t, true)
			webhook := w.webhook()
			require.NotNil(w.t, w.ReadWebhook(w.t, webhook).SuspendedAt)
			w.Suspend(w.t, false)
			require.Nil(w.t, w.ReadWebhook(w.t, webhook).SuspendedAt)
		},
		"its time does not count as waiting": func(w *world) {
			webhook := w.webhook()
			w.setBreaker(webhook, true)
			ids := w.deferring(webhook, 1)
			w.Suspend(w.t, true)
			w.Pass(w.t, 30*time.Hour)
			w.Suspend(w.t, false)
			ended, err := w.ExpireDeferred(w.t.Context(), webhook, hook.DeferredFor, 10)
			require.NoError(w.t, err)
			require.Empty(w.t, ended.Deliveries)
			w.Pass(w.t, 25*time.Hour)
			ended, err = w.ExpireDeferred(w.t.Context(), webhook, hook.DeferredFor, 10)
			require.NoError(w.t, err)
			require.Equal(w.t, ids, ended.Deliveries)
		},
	}
}
