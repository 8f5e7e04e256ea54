package storagetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// day is the unit in which failures are counted (S14).
const day = 24 * time.Hour

// requireStatus checks the webhook's status and reason, as the API shows them.
func (w *world) requireStatus(id hook.WebhookID, status, reason string) {
	w.t.Helper()
	webhook := w.ReadWebhook(w.t, id)
	require.Equal(w.t, []string{status, reason}, []string{webhook.Status(), webhook.StatusReason()})
}

// healthCases test the effect of attempts on a webhook's health (S14).
func healthCases() map[string]func(*world) {
	return map[string]func(*world){
		"a failure makes failing, a success healthy": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			w.attempt(id, Status(500))
			w.requireStatus(webhook, "failing", "")
			w.attempt(id, Status(200))
			w.requireStatus(webhook, "healthy", "")
		},
		"a delivery that fails for good makes failed": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			for range hook.MaxAttempts {
				w.attempt(id, Status(500))
			}
			w.requireStatus(webhook, "failed", hook.ReasonFailedFinal)
			w.attempt(w.delivery(webhook), Status(500))
			w.requireStatus(webhook, "failed", hook.ReasonFailedFinal)
			w.attempt(w.delivery(webhook), Status(200))
			w.requireStatus(webhook, "healthy", "")
		},
		"a failure by hand changes nothing": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			w.byHand(id, Status(500))
			w.requireStatus(webhook, "healthy", "")
			w.attempt(id, Status(500))
			w.byHand(id, Status(200))
			w.requireStatus(webhook, "healthy", "")
		},
		"a test says nothing": func(w *world) {
			webhook := w.webhook()
			w.attempt(w.AddTest(w.t, webhook), Status(500))
			w.requireStatus(webhook, "healthy", "")
		},
		"410 disables, and revokes what is outstanding": func(w *world) {
			webhook := w.webhook()
			other := w.delivery(webhook)
			before := w.ReadWebhook(w.t, webhook)
			w.requireEnded(w.attempt(w.delivery(webhook), Status(410)), hook.StateFailed, "HTTP 410 Gone")
			w.requireStatus(webhook, "disabled", hook.ReasonGone)
			w.requireEnded(w.ReadDelivery(w.t, other), hook.StateCanceled, hook.TextWebhookDisabled)
			after := w.ReadWebhook(w.t, webhook)
			require.Equal(w.t, []int64{before.Version + 1, int64(before.Generation) + 1}, []int64{after.Version, int64(after.Generation)})
		},
		"410 to an attempt by hand disables": func(w *world) {
			webhook := w.webhook()
			w.requireEnded(w.byHand(w.delivery(webhook), Status(410)), hook.StateCanceled, hook.TextWebhookDisabled)
			w.requireStatus(webhook, "disabled", hook.ReasonGone)
		},
		"five days of failing disable": func(w *world) {
			webhook := w.webhook()
			w.fails(webhook, day, day, day, day, day)
			w.requireStatus(webhook, "failing", "")
			w.Pass(w.t, time.Minute)
			w.attempt(w.delivery(webhook), Status(500))
			w.requireStatus(webhook, "disabled", hook.ReasonFailedDays)
		},
		"five days with few failures do not disable": func(w *world) {
			webhook := w.webhook()
			w.fails(webhook, 3*day, 3*day, day)
			w.requireStatus(webhook, "failing", "")
		},
		"a failure that is recorded twice is one failure": func(w *world) {
			webhook := w.webhook()
			w.fails(webhook, 2*day, 2*day, 2*day)
			r := w.result(w.delivery(webhook), Status(500), false)
			w.record(r)
			w.record(r)
			w.requireStatus(webhook, "failing", "") // the fifth failure would disable it
		},
		"a success that is recorded again mends nothing": func(w *world) {
			webhook := w.webhook()
			w.attempt(w.delivery(webhook), Status(500))
			r := w.result(w.delivery(webhook), Status(200), false)
			w.record(r)
			w.attempt(w.delivery(webhook), Status(500))
			w.record(r)
			w.requireStatus(webhook, "failing", "")
		},
		"a pause is no time of failing": func(w *world) {
			webhook := w.webhook()
			w.fails(webhook, day, day, time.Hour, time.Hour)
			w.pause(webhook, true)
			w.Pass(w.t, 4*day)
			w.pause(webhook, false)
			w.attempt(w.delivery(webhook), Status(500))
			w.requireStatus(webhook, "failing", "")
		},
		"another address begins the days anew": func(w *world) {
			webhook := w.webhook()
			w.fails(webhook, day, day, day, day)
			w.UpdateWebhook(w.t, webhook, func(w *hook.Webhook) { w.URL = "https://example.com/other" })
			w.Pass(w.t, 3*day)
			w.attempt(w.delivery(webhook), Status(500))
			w.requireStatus(webhook, "failing", "")
		},
	}
}

// fails records a failed attempt of the webhook before each of the durations passes.
func (w *world) fails(webhook hook.WebhookID, after ...time.Duration) {
	w.t.Helper()
	for _, d := range after {
		w.attempt(w.delivery(webhook), Status(500))
		w.Pass(w.t, d)
	}
}
