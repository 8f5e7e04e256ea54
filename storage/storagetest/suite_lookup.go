package storagetest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// outstanding loads the outstanding deliveries of the event.
func (w *world) outstanding(event hook.EventID) []hook.Job {
	w.t.Helper()
	jobs, err := w.Outstanding(w.t.Context(), []hook.EventID{event}, 0, 1)
	require.NoError(w.t, err)
	return jobs
}

// lookupCases test loading deliveries.
func lookupCases() map[string]func(*world) {
	return map[string]func(*world){
		"outstanding are those with an attempt to come": func(w *world) {
			due, later, ended, deferred := w.webhook(), w.webhook(), w.webhook(), w.webhook()
			event := w.publish()
			states := w.states(event)
			require.Len(w.t, states, 4)
			w.attempt(states[later].ID, Status(500))
			w.attempt(states[ended].ID, Status(200))
			require.NoError(w.t, w.Defer(w.t.Context(), []hook.DeliveryID{states[deferred].ID}, []hook.WebhookID{deferred}))
			found := map[hook.WebhookID]hook.Job{}
			for _, job := range w.outstanding(event) {
				found[job.Delivery.WebhookID] = job
			}
			require.Len(w.t, found, 2)
			require.LessOrEqual(w.t, found[due].DueIn, time.Duration(0))
			require.Greater(w.t, found[later].DueIn, 20*time.Second)
			require.Equal(w.t, `{"id":1}`, string(found[due].Event.Data))
		},
		"a revoked delivery is loaded, to be canceled": func(w *world) {
			deleted, disabled := w.webhook(), w.webhook()
			event := w.publish()
			w.RemoveWebhook(w.t, deleted)
			w.disable(disabled)
			for _, job := range w.outstanding(event) {
				require.NotEmpty(w.t, job.Canceled())
			}
			states := w.states(event)
			w.requireEnded(states[deleted], hook.StateCanceled, hook.TextWebhookDeleted)
			w.requireEnded(states[disabled], hook.StateCanceled, hook.TextWebhookDisabled)
		},
		"a webhook that was disabled and enabled again has revoked": func(w *world) {
			webhook := w.webhook()
			event := w.publish()
			w.disable(webhook)
			w.UpdateWebhook(w.t, webhook, func(w *hook.Webhook) { w.Active, w.DisabledReason = true, "" })
			w.requireEnded(w.states(event)[webhook], hook.StateCanceled, hook.TextWebhookDisabled)
			later := w.states(w.publish())[webhook]
			require.True(w.t, later.Outstanding())
		},
		"tests are not their events' deliveries": func(w *world) {
			job := w.job(w.AddTest(w.t, w.webhook()))
			require.True(w.t, job.Delivery.Test)
			require.Empty(w.t, w.outstanding(job.Event.ID))
			require.Empty(w.t, w.states(job.Event.ID))
		},
		"replayed deliveries are not their events' state": func(w *world) {
			event := w.PublishEarlier(w.t)
			require.Equal(w.t, 1, w.step(w.AddReplay(w.t, w.webhook(), 10)).Created)
			require.Empty(w.t, w.states(event))
			require.Empty(w.t, w.outstanding(event))
		},
		"slices divide the deliveries": func(w *world) {
			for range 8 {
				w.webhook()
			}
			event := w.publish()
			seen := map[hook.DeliveryID]int{}
			for slice := range 3 {
				jobs, err := w.Outstanding(w.t.Context(), []hook.EventID{event}, slice, 3)
				require.NoError(w.t, err)
				for i := range jobs {
					seen[jobs[i].Delivery.ID]++
				}
				states, err := w.States(w.t.Context(), []hook.EventID{event}, slice, 3)
				require.NoError(w.t, err)
				require.Len(w.t, states, len(jobs))
			}
			require.Len(w.t, seen, 8)
			for _, n := range seen {
				require.Equal(w.t, 1, n)
			}
		},
		"a delivery that does not exist is not found": func(w *world) {
			_, err := w.Job(w.t.Context(), hook.DeliveryID{15: 1})
			require.Equal(w.t, hook.KindNotFound, hook.KindOf(err))
		},
		"large data is left out of a job": func(w *world) {
			webhook := w.webhook()
			data := `"` + strings.Repeat("x", hook.MaxInline) + `"`
			event := w.Publish(w.t, hook.ProfileStandard, data)
			job := w.job(w.states(event)[webhook].ID)
			require.Equal(w.t, len(data), job.PayloadSize)
			require.Empty(w.t, job.Event.Data)
			payloads, err := w.Payloads(w.t.Context(), []hook.EventID{event, {15: 1}})
			require.NoError(w.t, err)
			require.Equal(w.t, map[hook.EventID][]byte{event: []byte(data)}, payloads)
		},
		"versions are those of webhooks that exist": func(w *world) {
			same, changed, gone := w.webhook(), w.webhook(), w.webhook()
			list := []hook.WebhookID{same, changed, gone}
			before, err := w.Versions(w.t.Context(), list)
			require.NoError(w.t, err)
			require.Len(w.t, before, 3)
			w.pause(changed, true)
			w.RemoveWebhook(w.t, gone)
			after, err := w.Versions(w.t.Context(), list)
			require.NoError(w.t, err)
			require.Equal(w.t, map[hook.WebhookID]int64{same: before[same], changed: before[changed] + 1}, after)
		},
		"canceling ends what is outstanding": func(w *world) {
			webhook := w.webhook()
			pending, ended := w.delivery(webhook), w.delivery(webhook)
			w.attempt(ended, Status(200))
			require.NoError(w.t, w.CancelDeliveries(w.t.Context(), []hook.DeliveryID{pending, ended}, "why"))
			w.requireEnded(w.ReadDelivery(w.t, pending), hook.StateCanceled, "why")
			w.requireEnded(w.ReadDelivery(w.t, ended), hook.StateSuccess, "")
		},
	}
}
