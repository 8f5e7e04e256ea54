package storagetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// claim claims the deliveries with their webhooks' current versions, and returns the ones that the claim got.
func (w *world) claim(c hook.Claim, ids ...hook.DeliveryID) []hook.DeliveryID {
	w.t.Helper()
	list := make([]hook.Wanted, 0, len(ids))
	for _, id := range ids {
		list = append(list, hook.Wanted{ID: id, Version: w.job(id).Webhook.Version})
	}
	return w.claimVersions(c, list...)
}

func (w *world) claimVersions(c hook.Claim, list ...hook.Wanted) []hook.DeliveryID {
	w.t.Helper()
	claimed, err := w.ClaimDeliveries(w.t.Context(), list, c)
	require.NoError(w.t, err)
	return claimed
}

// drop drops the delivery if its claim is older than age, and reports whether it did.
func (w *world) drop(id hook.DeliveryID, age time.Duration) bool {
	w.t.Helper()
	dropped, err := w.DropDeliveries(w.t.Context(), []hook.DeliveryID{id}, age)
	require.NoError(w.t, err)
	return len(dropped.Deliveries) > 0
}

// claimCases test deliveries that are sent at most once (M7), and tests (S11).
func claimCases() map[string]func(*world) {
	one, two := hook.Claim{1}, hook.Claim{2}
	return map[string]func(*world){
		"a claim excludes others": func(w *world) {
			id := w.message(w.messageWebhook())
			require.Equal(w.t, []hook.DeliveryID{id}, w.claim(one, id))
			require.Equal(w.t, hook.StateSending, w.ReadDelivery(w.t, id).State)
			require.Empty(w.t, w.claim(two, id))
			require.Equal(w.t, []hook.DeliveryID{id}, w.claim(one, id), "claiming again is safe")
		},
		"a claim is for the webhook as it was loaded": func(w *world) {
			webhook := w.messageWebhook()
			id := w.message(webhook)
			version := w.job(id).Webhook.Version
			w.pause(webhook, true)
			require.Empty(w.t, w.claimVersions(one, hook.Wanted{ID: id, Version: version}))
			require.Equal(w.t, hook.StatePending, w.ReadDelivery(w.t, id).State)
		},
		"nothing is claimed for a webhook that is gone": func(w *world) {
			webhook := w.messageWebhook()
			id := w.message(webhook)
			version := w.job(id).Webhook.Version
			w.RemoveWebhook(w.t, webhook)
			require.Empty(w.t, w.claimVersions(one, hook.Wanted{ID: id, Version: version}))
		},
		"a change that no request depends on leaves the version": func(w *world) {
			webhook := w.messageWebhook()
			before := w.ReadWebhook(w.t, webhook).Version
			w.UpdateWebhook(w.t, webhook, func(w *hook.Webhook) { w.Description = "another" })
			require.Equal(w.t, before, w.ReadWebhook(w.t, webhook).Version)
			require.NoError(w.t, w.SetBreaker(w.t.Context(), webhook, true))
			require.Equal(w.t, before, w.ReadWebhook(w.t, webhook).Version)
		},
		"a delivery that has ended is not claimed": func(w *world) {
			id := w.message(w.messageWebhook())
			w.attempt(id, Status(200))
			require.Empty(w.t, w.claim(one, id))
		},
		"only its own claim is released": func(w *world) {
			id := w.message(w.messageWebhook())
			w.claim(one, id)
			require.NoError(w.t, w.ReleaseDeliveries(w.t.Context(), []hook.DeliveryID{id}, two))
			require.Equal(w.t, hook.StateSending, w.ReadDelivery(w.t, id).State)
			require.NoError(w.t, w.ReleaseDeliveries(w.t.Context(), []hook.DeliveryID{id}, one))
			require.Equal(w.t, hook.StatePending, w.ReadDelivery(w.t, id).State)
			require.NotEmpty(w.t, w.claim(two, id))
		},
		"a claim that is too old is dropped": func(w *world) {
			id := w.message(w.messageWebhook())
			require.False(w.t, w.drop(id, 0), "it is not being sent")
			w.claim(one, id)
			w.Pass(w.t, 30*time.Second)
			require.False(w.t, w.drop(id, time.Minute))
			w.Pass(w.t, time.Minute)
			require.True(w.t, w.drop(id, time.Minute))
			w.requireEnded(w.ReadDelivery(w.t, id), hook.StateDropped, hook.TextDropped)
			require.False(w.t, w.drop(id, time.Minute), "it was dropped before")
		},
		"a success that is recorded late counts": func(w *world) {
			id := w.message(w.messageWebhook())
			w.claim(one, id)
			r := w.result(id, Status(200), false)
			require.True(w.t, w.drop(id, 0))
			w.requireEnded(w.record(r), hook.StateSuccess, "")
		},
		"a failure that is recorded late counts": func(w *world) {
			id := w.message(w.messageWebhook())
			w.claim(one, id)
			r := w.result(id, Hang(), false)
			require.True(w.t, w.drop(id, 0))
			w.requireEnded(w.record(r), hook.StateTimedOut, "Connection timeout")
		},
		"a test that has begun is not removed": func(w *world) {
			id := w.AddTest(w.t, w.webhook())
			begun, err := w.BeginTest(w.t.Context(), id, one)
			require.NoError(w.t, err)
			require.True(w.t, begun)
			w.RemoveTest(w.t, id)
			require.Equal(w.t, id, w.job(id).Delivery.ID)
		},
		"a test that was removed does not begin": func(w *world) {
			id := w.AddTest(w.t, w.webhook())
			w.RemoveTest(w.t, id)
			begun, err := w.BeginTest(w.t.Context(), id, one)
			require.NoError(w.t, err)
			require.False(w.t, begun)
		},
		"a delivery is no test": func(w *world) {
			begun, err := w.BeginTest(w.t.Context(), w.delivery(w.webhook()), one)
			require.NoError(w.t, err)
			require.False(w.t, begun)
		},
	}
}
