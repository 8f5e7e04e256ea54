package storagetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// sleeps notes that the webhook's drain sleeps, and reports whether it may.
func (w *world) sleeps(webhook hook.WebhookID, n hook.Nap) bool {
	w.t.Helper()
	asleep, err := w.DrainSleeps(w.t.Context(), webhook, n)
	require.NoError(w.t, err)
	return asleep
}

// ends ends the webhook's drain, and reports whether it may.
func (w *world) ends(webhook hook.WebhookID, changes int64) bool {
	w.t.Helper()
	ended, err := w.DrainEnds(w.t.Context(), webhook, changes)
	require.NoError(w.t, err)
	return ended
}

// drainCases test the state of the workflow that sends a webhook's deferred deliveries (spec 9).
func drainCases() map[string]func(*world) {
	return map[string]func(*world){
		"a drain sleeps when nothing has changed": func(w *world) {
			webhook := w.webhook()
			w.deferring(webhook, 1)
			require.True(w.t, w.sleeps(webhook, hook.Nap{In: time.Minute, Changes: w.page(webhook, 1).Changes}))
		},
		"a drain that does not exist may sleep and end": func(w *world) {
			webhook := w.webhook()
			require.True(w.t, w.sleeps(webhook, hook.Nap{In: time.Minute, Changes: 7}))
			require.True(w.t, w.ends(webhook, 7))
		},
		"a change of the webhook wakes the drain": func(w *world) {
			webhook := w.webhook()
			w.deferring(webhook, 1)
			changes := w.page(webhook, 1).Changes
			w.pause(webhook, true)
			require.False(w.t, w.sleeps(webhook, hook.Nap{In: time.Minute, Changes: changes}))
			page := w.page(webhook, 1)
			require.Equal(w.t, changes+1, page.Changes)
			require.True(w.t, w.sleeps(webhook, hook.Nap{In: time.Minute, Changes: page.Changes}))
		},
		"a drain does not sleep beyond what is due": func(w *world) {
			webhook := w.webhook()
			w.attempt(w.deferring(webhook, 1)[0], Status(500)) // due in half a minute
			changes := w.page(webhook, 1).Changes
			require.False(w.t, w.sleeps(webhook, hook.Nap{In: time.Minute, Changes: changes, Until: w.Now().Add(time.Minute)}))
			require.True(w.t, w.sleeps(webhook, hook.Nap{In: time.Second, Changes: changes, Until: w.Now().Add(time.Second)}))
		},
		"what is deferred wakes a drain that has nothing to send": func(w *world) {
			webhook := w.webhook()
			w.attempt(w.deferring(webhook, 1)[0], Status(500))
			changes := w.page(webhook, 1).Changes
			require.True(w.t, w.sleeps(webhook, hook.Nap{In: time.Second, Changes: changes, Until: w.Now().Add(time.Second)}))
			w.deferring(webhook, 1)
			require.Equal(w.t, changes+1, w.page(webhook, 1).Changes)
		},
		"what is deferred does not wake a drain that sleeps for another reason": func(w *world) {
			webhook := w.webhook()
			w.deferring(webhook, 1)
			changes := w.page(webhook, 1).Changes
			require.True(w.t, w.sleeps(webhook, hook.Nap{In: time.Minute, Changes: changes}))
			w.deferring(webhook, 1)
			require.Equal(w.t, changes, w.page(webhook, 1).Changes)
		},
		"a drain says when it probes": func(w *world) {
			webhook := w.webhook()
			id := w.deferring(webhook, 1)[0]
			w.setBreaker(webhook, true)
			in := time.Minute
			require.True(w.t, w.sleeps(webhook, hook.Nap{In: in, Changes: w.page(webhook, 1).Changes, ProbeIn: &in}))
			waits := w.ReadDelivery(w.t, id).Waits
			require.NotNil(w.t, waits)
			require.NotNil(w.t, waits.ProbeAt)
			require.WithinDuration(w.t, w.Now().Add(in), *waits.ProbeAt, 5*time.Second)
		},
		"a drain does not end with deliveries left": func(w *world) {
			webhook := w.webhook()
			id := w.deferring(webhook, 1)[0]
			require.False(w.t, w.ends(webhook, w.page(webhook, 1).Changes))
			w.attempt(id, Status(200))
			require.True(w.t, w.ends(webhook, w.page(webhook, 1).Changes))
		},
		"a drain does not end after a change": func(w *world) {
			webhook := w.webhook()
			w.attempt(w.deferring(webhook, 1)[0], Status(200))
			changes := w.page(webhook, 1).Changes
			w.pause(webhook, true)
			require.False(w.t, w.ends(webhook, changes))
			require.True(w.t, w.ends(webhook, changes+1))
		},
		"a drain of a webhook that was deleted ends": func(w *world) {
			webhook := w.webhook()
			id := w.deferring(webhook, 1)[0]
			w.RemoveWebhook(w.t, webhook)
			require.True(w.t, w.ends(webhook, w.page(webhook, 1).Changes))
			w.requireEnded(w.ReadDelivery(w.t, id), hook.StateCanceled, hook.TextWebhookDeleted)
		},
	}
}
