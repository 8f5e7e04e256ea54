package storagetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// deferring creates deliveries of the webhook and defers them.
func (w *world) deferring(webhook hook.WebhookID, n int) []hook.DeliveryID {
	w.t.Helper()
	ids := make([]hook.DeliveryID, n)
	for i := range ids {
		ids[i] = w.delivery(webhook)
	}
	require.NoError(w.t, w.Defer(w.t.Context(), ids, []hook.WebhookID{webhook}))
	return ids
}

// page loads the webhook's deferred deliveries.
func (w *world) page(webhook hook.WebhookID, limit int) hook.DeferredPage {
	w.t.Helper()
	page, err := w.Deferred(w.t.Context(), webhook, limit)
	require.NoError(w.t, err)
	return page
}

func (w *world) setBreaker(webhook hook.WebhookID, open bool) {
	w.t.Helper()
	require.NoError(w.t, w.SetBreaker(w.t.Context(), webhook, open))
}

// deferredCases test deferred deliveries (spec 9).
func deferredCases() map[string]func(*world) {
	return map[string]func(*world){
		"the longest due come first": func(w *world) {
			webhook := w.webhook()
			ids := w.deferring(webhook, 3)
			w.attempt(ids[0], Status(500)) // due in half a minute
			page := w.page(webhook, 2)
			require.Equal(w.t, 3, page.Waiting)
			shown := []hook.DeliveryID{page.Jobs[0].Delivery.ID, page.Jobs[1].Delivery.ID}
			require.Equal(w.t, ids[1:], shown)
			require.True(w.t, page.Jobs[0].Delivery.Deferred)
			require.Equal(w.t, ids[0], w.page(webhook, 3).Jobs[2].Delivery.ID)
		},
		"what has ended or is unknown is not deferred": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			w.attempt(id, Status(200))
			require.NoError(w.t, w.Defer(w.t.Context(), []hook.DeliveryID{id, {15: 1}}, []hook.WebhookID{webhook}))
			require.Zero(w.t, w.page(webhook, 10).Waiting)
		},
		"what is revoked is not deferred any more": func(w *world) {
			webhook := w.webhook()
			w.deferring(webhook, 2)
			w.disable(webhook)
			require.Zero(w.t, w.page(webhook, 10).Waiting)
		},
		"a page shows the breaker and the pause": func(w *world) {
			webhook := w.webhook()
			w.setBreaker(webhook, true)
			w.pause(webhook, true)
			page := w.page(webhook, 1)
			require.NotNil(w.t, page.TrippedAt)
			require.NotNil(w.t, page.PausedAt)
		},
		"an open breaker stays as it is when it is opened again": func(w *world) {
			webhook := w.webhook()
			w.setBreaker(webhook, true)
			opened := w.ReadWebhook(w.t, webhook).TrippedAt
			w.Pass(w.t, time.Second)
			before := w.ReadWebhook(w.t, webhook).TrippedAt
			w.setBreaker(webhook, true)
			require.Equal(w.t, before, w.ReadWebhook(w.t, webhook).TrippedAt)
			require.NotNil(w.t, opened)
			w.setBreaker(webhook, false)
			require.Nil(w.t, w.ReadWebhook(w.t, webhook).TrippedAt)
		},
		"an answer closes the breaker and wakes the drain": func(w *world) {
			webhook := w.webhook()
			id := w.deferring(webhook, 1)[0]
			w.setBreaker(webhook, true)
			changes := w.page(webhook, 1).Changes
			w.attempt(id, Status(500))
			require.Nil(w.t, w.ReadWebhook(w.t, webhook).TrippedAt)
			require.Equal(w.t, changes+1, w.page(webhook, 1).Changes)
		},
		"no answer leaves the breaker open": func(w *world) {
			webhook := w.webhook()
			id := w.deferring(webhook, 1)[0]
			w.setBreaker(webhook, true)
			w.attempt(id, Refused())
			require.NotNil(w.t, w.ReadWebhook(w.t, webhook).TrippedAt)
		},
		"an answer from before the breaker opened leaves it open": func(w *world) {
			webhook := w.webhook()
			r := w.result(w.delivery(webhook), Status(500), false)
			w.setBreaker(webhook, true)
			w.record(r)
			require.NotNil(w.t, w.ReadWebhook(w.t, webhook).TrippedAt)
		},
		"another address closes the breaker": func(w *world) {
			webhook := w.webhook()
			w.setBreaker(webhook, true)
			w.UpdateWebhook(w.t, webhook, func(w *hook.Webhook) { w.URL = "https://example.com/other" })
			require.Nil(w.t, w.ReadWebhook(w.t, webhook).TrippedAt)
		},
		"what is due is shown as waiting": func(w *world) {
			webhook := w.webhook()
			id := w.deferring(webhook, 1)[0]
			w.setBreaker(webhook, true)
			waits := w.ReadDelivery(w.t, id).Waits
			require.NotNil(w.t, waits)
			require.Equal(w.t, hook.WaitUnavailable, waits.Reason)
		},
	}
}

// expire expires the webhook's deferred deliveries and returns how many.
func (w *world) expire(webhook hook.WebhookID, limit int) int {
	w.t.Helper()
	expired, err := w.ExpireDeferred(w.t.Context(), webhook, hook.DeferredFor, limit)
	require.NoError(w.t, err)
	return len(expired.Deliveries)
}

// expireUnreadable calls ExpireUnreadable for the deliveries and returns the expired ones.
func (w *world) expireUnreadable(ids ...hook.DeliveryID) []hook.DeliveryID {
	w.t.Helper()
	expired, err := w.ExpireUnreadable(w.t.Context(), ids, hook.DeferredFor)
	require.NoError(w.t, err)
	return expired.Deliveries
}

// expiryCases test deliveries that have waited for too long (spec 9).
func expiryCases() map[string]func(*world) {
	return map[string]func(*world){
		"deferred deliveries fail when they are too old": func(w *world) {
			webhook := w.webhook()
			old := w.deferring(webhook, 2)
			w.Pass(w.t, hook.DeferredFor+time.Minute)
			fresh := w.deferring(webhook, 1)[0]
			require.Equal(w.t, 1, w.expire(webhook, 1))
			require.Equal(w.t, 1, w.expire(webhook, 10))
			for _, id := range old {
				w.requireEnded(w.ReadDelivery(w.t, id), hook.StateFailed, hook.TextUnavailable)
			}
			d := w.ReadDelivery(w.t, fresh)
			require.True(w.t, d.Outstanding())
			w.requireStatus(webhook, "failed", hook.ReasonFailedFinal)
		},
		"what is being sent is spared": func(w *world) {
			webhook := w.messageWebhook()
			id := w.message(webhook)
			require.NoError(w.t, w.Defer(w.t.Context(), []hook.DeliveryID{id}, []hook.WebhookID{webhook}))
			require.NotEmpty(w.t, w.claim(hook.Claim{1}, id))
			w.Pass(w.t, 2*hook.DeferredFor)
			require.Zero(w.t, w.expire(webhook, 10))
			require.Empty(w.t, w.expireUnreadable(id))
			require.Equal(w.t, hook.StateSending, w.ReadDelivery(w.t, id).State)
		},
		"a pause does not count": func(w *world) {
			webhook := w.webhook()
			w.pause(webhook, true)
			id := w.deferring(webhook, 1)[0]
			w.Pass(w.t, 3*hook.DeferredFor)
			w.pause(webhook, false)
			require.Zero(w.t, w.expire(webhook, 10))
			require.Empty(w.t, w.expireUnreadable(id))
			w.Pass(w.t, hook.DeferredFor-time.Minute)
			require.Zero(w.t, w.expire(webhook, 10))
			w.Pass(w.t, 2*time.Minute)
			require.Equal(w.t, 1, w.expire(webhook, 10))
		},
		"what is revoked does not expire": func(w *world) {
			webhook := w.webhook()
			id := w.deferring(webhook, 1)[0]
			w.disable(webhook)
			w.Pass(w.t, 2*hook.DeferredFor)
			require.Zero(w.t, w.expire(webhook, 10))
			w.requireEnded(w.ReadDelivery(w.t, id), hook.StateCanceled, hook.TextWebhookDisabled)
		},
		"unreadable deliveries fail when they are too old": func(w *world) {
			webhook := w.webhook()
			old, test := w.delivery(webhook), w.AddTest(w.t, webhook)
			ended := w.delivery(webhook)
			w.attempt(ended, Status(200))
			w.Pass(w.t, hook.DeferredFor+time.Minute)
			fresh := w.delivery(webhook)
			require.Equal(w.t, []hook.DeliveryID{old}, w.expireUnreadable(old, test, ended, fresh))
			w.requireEnded(w.ReadDelivery(w.t, old), hook.StateFailed, hook.TextSecretUnavailable)
			w.requireStatus(webhook, "failed", hook.ReasonFailedFinal)
			require.Empty(w.t, w.expireUnreadable(old), "it expired before")
		},
	}
}
