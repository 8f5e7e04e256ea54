package storagetest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// step makes a step of the replay in a new second.
func (w *world) step(id hook.ReplayID) hook.ReplayStep {
	w.t.Helper()
	step, err := w.ReplayStep(w.t.Context(), id, 0)
	require.NoError(w.t, err)
	return step
}

// stepAll makes steps until the replay has looked at everything. It returns how many deliveries it has made, and the
// webhooks without a drain that got some.
func (w *world) stepAll(id hook.ReplayID) (made int, undrained []hook.WebhookID) {
	w.t.Helper()
	for range 100 {
		step := w.step(id)
		made += step.Created
		for _, webhook := range step.Undrained {
			if !slices.Contains(undrained, webhook) {
				undrained = append(undrained, webhook)
			}
		}
		if step.Exhausted {
			return made, undrained
		}
	}
	require.Fail(w.t, "it never ends")
	return made, undrained
}

// deferredOf returns the webhook's deferred deliveries.
func (w *world) deferredOf(webhook hook.WebhookID) []hook.DeliveryID {
	w.t.Helper()
	var ids []hook.DeliveryID
	for _, job := range w.page(webhook, 100).Jobs {
		ids = append(ids, job.Delivery.ID)
	}
	return ids
}

// replaying creates n events, a webhook, and a replay of the events for it.
func (w *world) replaying(n, rate int) (hook.ReplayID, hook.WebhookID) {
	w.t.Helper()
	webhook := w.missing(n)
	return w.AddReplay(w.t, webhook, rate), webhook
}

// missing creates n events, and a webhook that has missed them.
func (w *world) missing(n int) hook.WebhookID {
	w.t.Helper()
	for range n {
		w.PublishEarlier(w.t)
	}
	return w.webhook()
}

// replayCases test replays of events that a webhook has missed.
func replayCases() map[string]func(*world) {
	return map[string]func(*world){
		"a replay defers a delivery of each event": func(w *world) {
			id, webhook := w.replaying(3, 10)
			step := w.step(id)
			require.Equal(w.t, 3, step.Created)
			require.True(w.t, step.Exhausted)
			require.Equal(w.t, []hook.WebhookID{webhook}, step.Undrained, "no drain sends them yet")
			require.Equal(w.t, hook.ReplayProgress{Outstanding: 3}, step.Progress)
			require.Len(w.t, w.deferredOf(webhook), 3)
			for _, d := range w.deferredOf(webhook) {
				require.Equal(w.t, id, w.job(d).Delivery.ReplayID)
			}
			step = w.step(id)
			require.Zero(w.t, step.Created, "each event once")
			require.Empty(w.t, step.Undrained)
		},
		"a replay makes no more than its rate": func(w *world) {
			id, _ := w.replaying(5, 2)
			step := w.step(id)
			require.Equal(w.t, 2, step.Created)
			require.False(w.t, step.Exhausted)
			next, err := w.ReplayStep(w.t.Context(), id, 1)
			require.NoError(w.t, err)
			require.Equal(w.t, 1, next.Created, "one was made in this second")
			require.Equal(w.t, 2, w.step(id).Created)
			require.Equal(w.t, 5, w.step(id).Replay.Created)
		},
		"a replay is complete when its deliveries have ended": func(w *world) {
			id, webhook := w.replaying(2, 10)
			require.Equal(w.t, hook.ReplayRunning, w.step(id).Replay.State)
			for _, d := range w.deferredOf(webhook) {
				w.attempt(d, Status(200))
			}
			step := w.step(id)
			require.Equal(w.t, hook.ReplayCompleted, step.Replay.State)
			require.True(w.t, step.Replay.Ended())
			require.Equal(w.t, hook.ReplayProgress{Succeeded: 2}, step.Progress)
		},
		"a paused replay makes nothing": func(w *world) {
			id, _ := w.replaying(2, 10)
			w.UpdateReplay(w.t, id, func(r *hook.Replay) { r.State = hook.ReplayPaused })
			require.Zero(w.t, w.step(id).Created)
			w.UpdateReplay(w.t, id, func(r *hook.Replay) { r.State = hook.ReplayRunning })
			require.Equal(w.t, 2, w.step(id).Created)
		},
		"a canceled replay ends its deliveries": func(w *world) {
			id, webhook := w.replaying(2, 10)
			w.step(id)
			deliveries := w.deferredOf(webhook)
			w.attempt(deliveries[0], Status(200))
			version := w.ReadWebhook(w.t, webhook).Version
			w.UpdateReplay(w.t, id, func(r *hook.Replay) { r.State = hook.ReplayCanceled })
			w.requireEnded(w.ReadDelivery(w.t, deliveries[1]), hook.StateCanceled, hook.TextReplayCanceled)
			require.Equal(w.t, hook.ReplayProgress{Succeeded: 1, Canceled: 1}, w.step(id).Progress)
			require.Equal(w.t, version+1, w.ReadWebhook(w.t, webhook).Version, "who has loaded them loads them again")
		},
		"a replay of a disabled webhook is canceled": func(w *world) {
			id, webhook := w.replaying(2, 10)
			w.disable(webhook)
			step := w.step(id)
			require.Equal(w.t, hook.ReplayCanceled, step.Replay.State)
			require.Equal(w.t, hook.TextWebhookDisabled, step.Replay.Reason)
			require.True(w.t, step.Replay.Ended())
			require.Zero(w.t, step.Created)
		},
		"a replay of a deleted webhook is canceled": func(w *world) {
			id, webhook := w.replaying(2, 10)
			w.step(id)
			w.RemoveWebhook(w.t, webhook)
			step := w.step(id)
			require.Equal(w.t, hook.ReplayCanceled, step.Replay.State)
			require.Equal(w.t, hook.TextWebhookDeleted, step.Replay.Reason)
			require.Equal(w.t, hook.ReplayProgress{Canceled: 2}, w.step(id).Progress)
		},
		"a replay sleeps unless it was changed": func(w *world) {
			id, _ := w.replaying(1, 10)
			changes := w.step(id).Changes
			sleeps := func() bool {
				asleep, err := w.ReplaySleeps(w.t.Context(), id, time.Minute, changes)
				require.NoError(w.t, err)
				return asleep
			}
			require.True(w.t, sleeps())
			w.UpdateReplay(w.t, id, func(r *hook.Replay) { r.Rate = 5 })
			require.False(w.t, sleeps())
			require.Equal(w.t, changes+1, w.step(id).Changes)
			changes++
			require.True(w.t, sleeps())
		},
		"a replay over several webhooks defers a delivery of each event for each of them": func(w *world) {
			other := w.missing(3)
			a, b := w.webhook(), w.webhook()
			id := w.AddReplayOver(w.t, []hook.WebhookID{a, b}, 100)
			made, undrained := w.stepAll(id)
			require.Equal(w.t, 6, made)
			require.ElementsMatch(w.t, []hook.WebhookID{a, b}, undrained)
			require.Len(w.t, w.deferredOf(a), 3)
			require.Len(w.t, w.deferredOf(b), 3)
			require.Empty(w.t, w.deferredOf(other))
			require.Equal(w.t, hook.ReplayProgress{Outstanding: 6}, w.step(id).Progress)
			for _, webhook := range []hook.WebhookID{a, b} {
				for _, d := range w.deferredOf(webhook) {
					require.Equal(w.t, id, w.job(d).Delivery.ReplayID)
					w.attempt(d, Status(200))
				}
			}
			require.Equal(w.t, hook.ReplayCompleted, w.step(id).Replay.State)
		},
		"a replay over all webhooks makes no more than its rate for all together": func(w *world) {
			w.missing(3)
			w.webhook()
			id := w.AddReplayOver(w.t, nil, 4)
			require.LessOrEqual(w.t, w.step(id).Created, 4)
			next, err := w.ReplayStep(w.t.Context(), id, 3)
			require.NoError(w.t, err)
			require.LessOrEqual(w.t, next.Created, 1, "three were made in this second")
			w.stepAll(id)
			require.Equal(w.t, 6, w.step(id).Replay.Created)
		},
		"a replay over several webhooks goes on without those that get nothing any more": func(w *world) {
			a := w.missing(2)
			b, c := w.webhook(), w.webhook()
			id := w.AddReplayOver(w.t, []hook.WebhookID{a, b, c}, 100)
			w.disable(a)
			w.RemoveWebhook(w.t, b)
			made, undrained := w.stepAll(id)
			require.Equal(w.t, 2, made)
			require.Equal(w.t, []hook.WebhookID{c}, undrained)
			require.Len(w.t, w.deferredOf(c), 2)
		},
		"a replay over several webhooks is canceled when none is left": func(w *world) {
			a := w.missing(2)
			b := w.webhook()
			id := w.AddReplayOver(w.t, []hook.WebhookID{a, b}, 100)
			w.disable(a)
			w.RemoveWebhook(w.t, b)
			step := w.step(id)
			require.Equal(w.t, hook.ReplayCanceled, step.Replay.State)
			require.Equal(w.t, hook.TextNoWebhookLeft, step.Replay.Reason)
			require.Zero(w.t, step.Created)
		},
		"a replay over several webhooks that is canceled ends its deliveries": func(w *world) {
			a := w.missing(1)
			b := w.webhook()
			id := w.AddReplayOver(w.t, nil, 100)
			w.stepAll(id)
			ofA, ofB := w.deferredOf(a)[0], w.deferredOf(b)[0]
			w.attempt(ofA, Status(200))
			w.UpdateReplay(w.t, id, func(r *hook.Replay) { r.State = hook.ReplayCanceled })
			w.requireEnded(w.ReadDelivery(w.t, ofB), hook.StateCanceled, hook.TextReplayCanceled)
			require.Equal(w.t, hook.ReplayProgress{Succeeded: 1, Canceled: 1}, w.step(id).Progress)
		},
		"a replay that does not exist is not found": func(w *world) {
			_, err := w.ReplayStep(w.t.Context(), hook.ReplayID{15: 1}, 0)
			require.Equal(w.t, hook.KindNotFound, hook.KindOf(err))
		},
	}
}
