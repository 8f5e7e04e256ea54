package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
	"grapnel/workflows"
)

// drain runs the drain of the webhook to its end.
func (w *world) drain(id hook.WebhookID) contract.DrainResult {
	w.Helper()
	options, input := workflows.DrainStart(id, hook.Label{})
	var result contract.DrainResult
	w.run(options, contract.NameDrain, input, &result)
	return result
}

// deferred makes a webhook with n deferred deliveries, of an event each.
func (w *world) deferred(n int, change func(h *hook.Webhook, now time.Time)) hook.WebhookID {
	w.Helper()
	id := w.store.AddWebhook(urlA, func(h *hook.Webhook) { change(h, w.now()) })
	for range n {
		w.store.Publish(eventType, payload, id)
	}
	ids := make([]hook.DeliveryID, 0, n)
	for _, d := range w.store.Deliveries(id) {
		ids = append(ids, d.ID)
	}
	require.NoError(w, w.store.Defer(w.Context(), ids, []hook.WebhookID{id}))
	return id
}

// Spec 9: deliveries wait until a probe succeeds, without using up attempts.
func TestDrain(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		id := w.deferred(5, func(h *hook.Webhook, now time.Time) { h.TrippedAt = &now })
		w.sender.Script(urlA, append(outcomes(storagetest.Refused(), 3), storagetest.Status(200))...)
		require.Equal(w, contract.DrainResult{Succeeded: 5}, w.drain(id))
		require.NoError(w, w.failure)
		times := w.sender.Times(urlA, w.accepted)
		require.Equal(w, []time.Duration{second, 3 * second, 7 * second, 15 * second}, times[:4])
		require.Nil(w, w.store.Webhook(id).TrippedAt)
	})
}

// A paused webhook's deliveries are sent when it is resumed.
func TestDrainAfterAPause(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		id := w.deferred(5, func(h *hook.Webhook, now time.Time) { h.PausedAt = &now })
		w.sender.Script(urlA, storagetest.Status(200))
		w.later(30*hour+time.Second, func() { w.store.ChangeWebhook(id, func(h *hook.Webhook) { h.PausedAt = nil }) })
		require.Equal(w, contract.DrainResult{Succeeded: 5}, w.drain(id))
		require.Greater(w, w.sender.Times(urlA, w.accepted)[0], 30*hour)
	})
}

// The Web UI's Failed filter finds a drain in which a delivery failed for good.
func TestDrainFails(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		id := w.deferred(2, func(*hook.Webhook, time.Time) {})
		w.sender.Script(urlA, storagetest.Status(500))
		w.drain(id)
		var app *temporal.ApplicationError
		require.ErrorAs(w, w.failure, &app)
		require.Equal(w, contract.ErrorFailed, app.Type())
		first := id.String() + " failed: HTTP 500 Internal Server Error after 5 attempts"
		require.Equal(w, "2 of 2 deliveries failed for good; "+first, app.Message())
		var r contract.DrainResult
		require.NoError(w, app.Details(&r))
		require.Equal(w, contract.DrainResult{Failed: 2, FirstFailed: first}, r)
	})
}
