package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// storing begins to store an event whose id has the age. It returns the id and a function that commits.
func (f *fixture) storing(t *testing.T, age time.Duration) (id hook.EventID, commit func()) {
	t.Helper()
	f.pasts++
	id = hook.EventID(hook.IDTime(time.Now().Add(-age)))
	id[6], id[7], id[8], id[15] = 0x70, byte(f.pasts), 0x80, 1
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // it may be committed by then
	_, err = tx.Exec(t.Context(), `insert into events (id, tenant_id, type, data, deliveries, created_at) values ($1, $2, 'user.created', '{}', 0, now())`,
		[16]byte(id), [16]byte(hook.DefaultTenant()))
	require.NoError(t, err)
	return id, func() { require.NoError(t, tx.Commit(t.Context())) }
}

// recent sets the replay's end to a moment ago, where all events have settled.
func recent(r *hook.Replay) { r.Until = time.Now().Add(-10 * time.Second) }

// S5: a replay does not miss an event whose accept takes unusually long, or whose id comes from a clock that is
// behind: it waits for events that were still being stored when it had looked at all others.
func TestReplayFindsWhatIsStoredLate(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	first := f.past(t, "user.created")
	late, commit := f.storing(t, time.Minute)
	_, gone := f.storing(t, 30*time.Second)
	r := f.replay(t, w, hook.ReplayAll, recent)
	step := must(f.ReplayStep(t.Context(), r.ID, 0))
	require.Equal(t, []hook.EventID{first}, f.replayWebhook(t, r))
	require.False(t, step.Exhausted)
	for _, job := range f.backlog(t, w, 10).Jobs { // as the drain does
		f.attempt(t, job.Delivery.ID, answered(200))
	}
	step = must(f.ReplayStep(t.Context(), r.ID, 0))
	require.False(t, step.Exhausted, "two are being stored")
	require.Zero(t, step.Looked)
	require.False(t, step.Replay.Ended())

	after, commitAfter := f.storing(t, time.Minute) // matched like any event
	commit()
	gone()
	step = must(f.ReplayStep(t.Context(), r.ID, 0))
	require.True(t, step.Exhausted)
	require.Len(t, f.replayWebhook(t, r), 3)
	require.Contains(t, f.replayWebhook(t, r), late)
	require.Equal(t, 3, step.Replay.Looked)
	require.Equal(t, 3, step.Replay.Created)
	commitAfter()
	for _, job := range f.backlog(t, w, 10).Jobs {
		f.attempt(t, job.Delivery.ID, answered(200))
	}
	step = must(f.ReplayStep(t.Context(), r.ID, 0))
	require.Equal(t, hook.ReplayCompleted, step.Replay.State)
	require.NotContains(t, f.replayWebhook(t, r), after)
}

// The late look sends no event that the replay has already sent, with whatever result, keeps to the rate, and
// costs nothing for a replay of older events.
func TestLateLookSendsNothingAgain(t *testing.T) {
	t.Parallel()
	n := longtest.Size(3, 5) // more than a step creates
	for name, status := range map[hook.ReplayStatus]int{hook.ReplayFailed: 500, hook.ReplayAll: 200} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			for range n {
				f.end(t, w, f.recently(t, w), 500)
			}
			r := f.replay(t, w, name, func(r *hook.Replay) { recent(r); r.Rate = 2 })
			var step hook.ReplayStep
			for range 10 {
				step = must(f.ReplayStep(t.Context(), r.ID, 0))
				require.LessOrEqual(t, step.Created, 2)
				for _, job := range f.backlog(t, w, 10).Jobs {
					for d := f.attempt(t, job.Delivery.ID, answered(status)); d.Outstanding(); d = f.attempt(t, d.ID, answered(status)) {
					}
				}
			}
			require.Equal(t, hook.ReplayCompleted, step.Replay.State)
			require.Equal(t, n, step.Replay.Looked)
			require.Equal(t, n, step.Replay.Created)
			require.Len(t, f.replayWebhook(t, r), n)
			require.NotNil(t, scalar[[]string](t, f, `select late_writers from replays`))
		})
	}
	t.Run("older", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		w := f.webhook(t)
		_, commit := f.storing(t, time.Minute)
		defer commit()
		r := f.replay(t, w, hook.ReplayAll, func(r *hook.Replay) { r.Until = time.Now().Add(-3 * time.Minute) })
		require.Equal(t, hook.ReplayCompleted, must(f.ReplayStep(t.Context(), r.ID, 0)).Replay.State)
		require.Nil(t, scalar[[]string](t, f, `select late_writers from replays`))
	})
}

// recently stores an event of a minute ago, with a delivery to the webhook.
func (f *fixture) recently(t *testing.T, w hook.Webhook) hook.EventID {
	t.Helper()
	id, commit := f.storing(t, time.Minute)
	commit()
	d := id
	d[15] = 2
	f.exec(t, `
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at)
		values ($1, $2, $3, $4, 'user.created', 'pending', now(), now(), now())`,
		[16]byte(d), [16]byte(id), [16]byte(w.ID), [16]byte(w.TenantID))
	return id
}

// A statement that stores events takes a lock before it reads which webhooks match, and holds it while it waits
// for other locks. The late look detects the statement by that lock.
func TestLateLookWaitsForAnAcceptThatIsStuck(t *testing.T) {
	t.Parallel()
	f := setup(t)
	topic := hook.Topic{TenantID: hook.DefaultTenant(), Cache: "chat", Name: "room"}
	p := hook.Publication{TenantID: topic.TenantID, Cache: topic.Cache, Type: topic.Name, Data: []byte(`1`)}
	must(f.Publish(t.Context(), p))
	before := f.webhook(t) // any webhook will do: the look waits for all accepts
	published := make(chan error, 1)
	err := pgx.BeginFunc(t.Context(), f.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `select from topics for update`); err != nil {
			return err
		}
		go func() {
			_, err := f.Publish(t.Context(), p)
			published <- err
		}()
		f.blocked(t)
		r := f.replay(t, before, hook.ReplayAll, recent)
		require.False(t, must(f.ReplayStep(t.Context(), r.ID, 0)).Exhausted)
		require.Len(t, scalar[[]string](t, f, `select late_writers from replays`), 1)
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, <-published)
	r := must(f.Replay(t.Context(), before.TenantID, hook.ReplayID(scalar[[16]byte](t, f, `select id from replays`))))
	require.Equal(t, hook.ReplayCompleted, must(f.ReplayStep(t.Context(), r.ID, 0)).Replay.State)
}
