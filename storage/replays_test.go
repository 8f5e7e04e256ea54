package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// past stores an event of ten minutes ago, with a delivery for each webhook.
func (f *fixture) past(t *testing.T, eventType string, webhooks ...hook.Webhook) hook.EventID {
	t.Helper()
	f.pasts++
	id := hook.EventID(hook.IDTime(time.Now().Add(-10 * time.Minute)))
	id[6], id[7], id[8], id[15] = 0x70, byte(f.pasts), 0x80, 1
	f.exec(t, `insert into events (id, tenant_id, type, data, deliveries, created_at) values ($1, $2, $3, '{}', $4, now() - interval '10 minutes')`,
		[16]byte(id), [16]byte(hook.DefaultTenant()), eventType, len(webhooks))
	for i, w := range webhooks {
		d := id
		d[15] = byte(2 + i)
		f.exec(t, `
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at)
			values ($1, $2, $3, $4, $5, 'pending', now(), now(), now())`,
			[16]byte(d), [16]byte(id), [16]byte(w.ID), [16]byte(w.TenantID), eventType)
	}
	return id
}

// replay starts a replay of the last hour, up to a minute ago.
func (f *fixture) replay(t *testing.T, w hook.Webhook, status hook.ReplayStatus, change func(*hook.Replay)) hook.Replay {
	t.Helper()
	r := hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: status, Rate: 100,
		Since: time.Now().Add(-time.Hour), Until: time.Now().Add(-time.Minute),
	}
	if change != nil {
		change(&r)
	}
	r, err := f.CreateReplay(t.Context(), r)
	require.NoError(t, err)
	return r
}

// all steps until the replay has looked at all events.
func (f *fixture) steps(t *testing.T, r hook.Replay) hook.ReplayStep {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		step, err := f.ReplayStep(t.Context(), r.ID, 0)
		require.NoError(t, err)
		if step.Exhausted || step.Replay.Ended() || step.Full {
			return step
		}
		require.Less(t, time.Now(), deadline, "it goes on for ever")
	}
}

// replayWebhook returns the events of the replay's deliveries.
func (f *fixture) replayWebhook(t *testing.T, r hook.Replay) []hook.EventID {
	t.Helper()
	var list []hook.EventID
	deliveries, _, err := f.Deliveries(t.Context(), r.WebhookID, hook.DeliveryFilter{}, hook.Page{Limit: 1000})
	require.NoError(t, err)
	for _, d := range deliveries {
		if d.ReplayID == r.ID {
			list = append(list, d.EventID)
		}
	}
	return list
}

// end ends the webhook's delivery of the event by an attempt with the status.
func (f *fixture) end(t *testing.T, w hook.Webhook, e hook.EventID, status int) {
	t.Helper()
	for _, d := range must(f.DeliveriesOfEvent(t.Context(), e, 10)) {
		if d.WebhookID == w.ID {
			for d = f.attempt(t, d.ID, answered(status)); d.Outstanding(); d = f.attempt(t, d.ID, answered(status)) {
			}
		}
	}
}

// Each status selects its events. A replay never selects a delivery with an attempt to come, or a test.
func TestReplayChooses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, events("user.created"))
	missing := f.past(t, "user.created")
	other := f.past(t, "user.deleted")
	succeeded, failed, pending := f.past(t, "user.created", w), f.past(t, "user.created", w), f.past(t, "user.created", w)
	f.end(t, w, succeeded, 200)
	f.end(t, w, failed, 500)
	_, err := f.CreateTest(t.Context(), w, publication("", `{}`))
	require.NoError(t, err)

	for status, want := range map[hook.ReplayStatus][]hook.EventID{
		hook.ReplayFailed:  {failed},
		hook.ReplayMissing: {missing},
		hook.ReplayAll:     {missing, succeeded, failed},
	} {
		n, err := f.CountReplay(t.Context(), hook.Replay{
			TenantID: w.TenantID, WebhookID: w.ID, Status: status, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(-time.Minute),
		}, 1000)
		require.NoError(t, err)
		require.Equal(t, hook.Estimate{Events: len(want), Complete: true}, n)
	}
	for _, c := range []struct {
		status hook.ReplayStatus
		want   []hook.EventID
	}{
		{hook.ReplayFailed, []hook.EventID{failed}},
		{hook.ReplayMissing, []hook.EventID{missing}},
		{hook.ReplayAll, []hook.EventID{failed, succeeded, missing}},
	} {
		r := f.replay(t, w, c.status, nil)
		step := must(f.ReplayStep(t.Context(), r.ID, 0))
		require.True(t, step.Exhausted)
		require.Equal(t, hook.ReplayProgress{Outstanding: len(c.want)}, step.Progress)
		require.Equal(t, c.want, f.replayWebhook(t, r), c.status)
		require.Equal(t, len(c.want), step.Replay.Created)
		require.Equal(t, 5, step.Replay.Looked)
		for _, job := range f.backlog(t, w, 10).Jobs { // as the drain does
			require.Equal(t, r.ID, job.Delivery.ReplayID)
			f.attempt(t, job.Delivery.ID, answered(200))
		}
		step = must(f.ReplayStep(t.Context(), r.ID, 0))
		require.Equal(t, hook.ReplayCompleted, step.Replay.State)
		require.Equal(t, hook.ReplayProgress{Succeeded: len(c.want)}, step.Progress)
	}
	require.Len(t, must(f.DeliveriesOfEvent(t.Context(), pending, 10)), 1)
	require.Empty(t, must(f.DeliveriesOfEvent(t.Context(), other, 10)))
}

// A replay creates no more deliveries in a second than its rate, and no more deferred ones than its limit. It
// creates none twice, even if several processes make steps.
func TestReplayRate(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	for range 60 {
		f.past(t, "user.created")
	}
	w := f.webhook(t, events("user.*"))
	r := f.replay(t, w, hook.ReplayMissing, func(r *hook.Replay) { r.Rate = 5 })
	step := must(f.ReplayStep(t.Context(), r.ID, 0))
	require.Equal(t, 5, step.Created)
	require.Equal(t, []hook.WebhookID{w.ID}, step.Undrained)
	require.False(t, step.Exhausted)
	require.Equal(t, 2, must(f.ReplayStep(t.Context(), r.ID, 3)).Created)
	step = f.steps(t, r)
	require.True(t, step.Full, "ten seconds' worth wait")
	require.Zero(t, step.Created)
	require.Empty(t, step.Undrained)
	require.Equal(t, 52, step.Replay.Created)
	for range 60 { // as the drain would
		for _, job := range f.backlog(t, w, 100).Jobs {
			f.attempt(t, job.Delivery.ID, answered(200))
		}
		if step = f.steps(t, r); step.Replay.Ended() {
			break
		}
	}
	require.Equal(t, hook.ReplayCompleted, step.Replay.State)
	require.Equal(t, hook.ReplayProgress{Succeeded: 60}, step.Progress)
	require.Len(t, f.replayWebhook(t, r), 60)
	ended, err := f.ReplayStep(t.Context(), r.ID, 0)
	require.NoError(t, err)
	require.Equal(t, step.Replay, ended.Replay)
	require.Equal(t, step.Progress, ended.Progress, "a run that comes after the end tells the same")
}

// A replay does not miss events that are being accepted while it looks: it looks at the last seconds last.
func TestReplayWaitsForTheLastSeconds(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t, events("user.deleted"))
	event, late := f.past(t, "user.created"), f.publish(t, "user.created").Event.ID
	f.past(t, "project.created")
	r := f.replay(t, w, hook.ReplayAll, func(r *hook.Replay) { r.EventTypes, r.Until = []string{"user.*"}, time.Now().Add(time.Millisecond) })
	_, err := f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error { w.Events = []string{"user.created"}; return nil })
	require.NoError(t, err)
	step := must(f.ReplayStep(t.Context(), r.ID, 0))
	require.Equal(t, 2, step.Looked)
	require.False(t, step.Exhausted)
	require.Equal(t, []hook.EventID{event}, f.replayWebhook(t, r))
	require.True(t, f.steps(t, r).Exhausted)
	require.Equal(t, []hook.EventID{late, event}, f.replayWebhook(t, r))
}

// A webhook has one running replay at a time.
func TestOneReplayAtATime(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, other := f.webhook(t), f.webhook(t)
	r := f.replay(t, w, hook.ReplayFailed, nil)
	f.replay(t, other, hook.ReplayFailed, nil)
	_, err := f.CreateReplay(t.Context(), hook.Replay{TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayAll, Rate: 1, Since: time.Now(), Until: time.Now()})
	require.Equal(t, hook.KindConflict, hook.KindOf(err))
	cancel := func(r *hook.Replay) error { r.State = hook.ReplayCanceled; return nil }
	_, err = f.UpdateReplay(t.Context(), f.tenant(t, "other"), r.ID, cancel)
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))
	r, err = f.UpdateReplay(t.Context(), w.TenantID, r.ID, cancel)
	require.NoError(t, err)
	require.True(t, r.Ended())
	second := f.replay(t, w, hook.ReplayFailed, nil)
	list, next, err := f.Replays(t.Context(), hook.OneTenant(w.TenantID), &w.ID, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Nil(t, next)
	require.Equal(t, []hook.ReplayID{second.ID, r.ID}, []hook.ReplayID{list[0].ID, list[1].ID})
	require.Equal(t, second, must(f.Replay(t.Context(), w.TenantID, second.ID)))
}

// Pausing stops a replay. Canceling ends its outstanding deliveries, and no others.
func TestPauseAndCancelReplay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.past(t, "user.created")
	w := f.webhook(t)
	kept := f.delivery(t, w)
	r := f.replay(t, w, hook.ReplayMissing, nil)
	set := func(state hook.ReplayState) hook.Replay {
		r, err := f.UpdateReplay(t.Context(), w.TenantID, r.ID, func(r *hook.Replay) error { r.State = state; return nil })
		require.NoError(t, err)
		return r
	}
	set(hook.ReplayPaused)
	step := must(f.ReplayStep(t.Context(), r.ID, 0))
	require.Equal(t, hook.ReplayPaused, step.Replay.State)
	require.Zero(t, step.Looked)
	set(hook.ReplayRunning)
	require.Equal(t, 1, must(f.ReplayStep(t.Context(), r.ID, 0)).Created)
	require.Equal(t, hook.ReplayProgress{Outstanding: 1}, must(f.ReplayProgress(t.Context(), r.ID)))
	canceled := set(hook.ReplayCanceled)
	require.True(t, canceled.Ended())
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, must(f.ReplayProgress(t.Context(), r.ID)))
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, must(f.ReplayStep(t.Context(), r.ID, 0)).Progress)
	require.Zero(t, f.backlog(t, w, 10).Waiting)
	require.True(t, outstanding(f.read(t, kept)))
}

// A replay ends when its webhook ends, with the reason.
func TestReplayOfAWebhookThatGoes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	deleted, disabled := f.webhook(t), f.webhook(t)
	for w, reason := range map[*hook.Webhook]string{&deleted: "Webhook deleted", &disabled: "Webhook disabled"} {
		r := f.replay(t, *w, hook.ReplayAll, nil)
		if w == &deleted {
			require.NoError(t, f.DeleteWebhook(t.Context(), w.TenantID, w.ID))
		} else {
			_, err := f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error { inactive(w); return nil })
			require.NoError(t, err)
		}
		step := must(f.ReplayStep(t.Context(), r.ID, 0))
		require.Equal(t, hook.ReplayCanceled, step.Replay.State)
		require.Equal(t, reason, step.Replay.Reason)
		require.Equal(t, reason, must(f.Replay(t.Context(), w.TenantID, r.ID)).Reason)
	}
}

// Spec 10: a replay whose workflow was lost is found after a while, a changed replay at once, an ended one never.
// A replay is deleted with its events.
func TestLostReplays(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	r := f.replay(t, w, hook.ReplayFailed, nil)
	lost := func() []hook.ReplayID { return must(f.LostReplays(t.Context(), 30*time.Second, 10)) }
	require.Empty(t, lost())
	require.True(t, must(f.ReplaySleeps(t.Context(), r.ID, -time.Minute, 0)))
	require.Equal(t, []hook.ReplayID{r.ID}, lost())
	require.Empty(t, lost(), "it has as long again")
	_, err := f.UpdateReplay(t.Context(), w.TenantID, r.ID, func(r *hook.Replay) error { r.Rate = 7; return nil })
	require.NoError(t, err)
	require.False(t, must(f.ReplaySleeps(t.Context(), r.ID, time.Hour, 0)))
	require.Equal(t, []hook.ReplayID{r.ID}, lost())
	_, err = f.UpdateReplay(t.Context(), w.TenantID, r.ID, func(r *hook.Replay) error { r.State = hook.ReplayCanceled; return nil })
	require.NoError(t, err)
	require.Empty(t, lost())
	require.NoError(t, f.PurgeReplays(t.Context(), time.Hour))
	must(f.Replay(t.Context(), w.TenantID, r.ID))
	require.NoError(t, f.PurgeReplays(t.Context(), -time.Minute))
	_, err = f.Replay(t.Context(), w.TenantID, r.ID)
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))
	_, err = f.ReplayStep(t.Context(), r.ID, 0)
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))
}

// A replay's progress counts revoked deliveries as canceled, and a later replay may send them again.
func TestReplayOfWhatIsRevoked(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.exec(t, `update events set created_at = created_at - interval '1 minute'`)
	r, err := f.CreateReplay(t.Context(), hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 100,
	})
	require.NoError(t, err)
	f.exec(t, `update deliveries set replay_id = $1`, [16]byte(r.ID))
	progress := func() hook.ReplayProgress {
		p, err := f.ReplayProgress(t.Context(), r.ID)
		require.NoError(t, err)
		return p
	}
	require.Equal(t, hook.ReplayProgress{Outstanding: 1}, progress())
	unlock := f.locked(t, id)
	f.disable(t, w)
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, progress())
	f.enable(t, w)
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, progress())
	n, err := f.CountReplay(t.Context(), hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayFailed, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), Rate: 100,
	}, 10)
	require.NoError(t, err)
	require.LessOrEqual(t, n.Events, 1)
	unlock()
	f.cancelAll(t)
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, progress())
}
