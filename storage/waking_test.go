package storage_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// lost returns the drains that a sweeper would start or wake now.
func (f *fixture) lost(t *testing.T) []hook.WebhookID {
	t.Helper()
	return must(f.LostDrains(t.Context(), 30*time.Second, 10))
}

// asleep creates an unavailable webhook with one deferred delivery that is due in two hours. Its drain has looked,
// and therefore sleeps.
func (f *fixture) asleep(t *testing.T) hook.Webhook {
	t.Helper()
	w := f.webhook(t)
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	f.publish(t, "user.created")
	f.nap(t, w)
	return w
}

// nap makes the drain sleep because all deferred deliveries are due in two hours.
func (f *fixture) nap(t *testing.T, w hook.Webhook) {
	t.Helper()
	f.exec(t, `update deliveries set next_attempt_at = now() + interval '2 hours' where webhook_id = $1 and next_attempt_at is not null`, [16]byte(w.ID))
	require.True(t, f.sleeps(t, w, napOf(f.backlog(t, w, 10))))
	require.Empty(t, f.lost(t))
}

// napOf returns the note of a drain that sleeps because nothing is due.
func napOf(b hook.DeferredPage) hook.Nap {
	return hook.Nap{In: 5 * time.Minute, Changes: b.Changes, Until: *b.Jobs[0].Delivery.NextAttemptAt}
}

// blocked waits until a session of the database waits for a lock.
func (f *fixture) blocked(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return scalar[bool](t, f, `select exists(select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
	}, 20*time.Second, time.Millisecond)
}

// A drain does not sleep if something has changed between its look and its note, whether or not a sweeper has seen
// the change. A change before the look does not keep it awake.
func TestChangeWakesTheDrain(t *testing.T) {
	t.Parallel()
	for name, swept := range map[string]bool{"swept": true, "not swept": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			f.pause(t, w, true)
			f.publish(t, "user.created")
			nap := func(b hook.DeferredPage) hook.Nap { return hook.Nap{In: 5 * time.Minute, Changes: b.Changes} }
			require.True(t, f.sleeps(t, w, nap(f.backlog(t, w, 10))))
			require.Empty(t, f.lost(t))

			b := f.backlog(t, w, 10)
			f.pause(t, w, false)
			if swept {
				require.Equal(t, []hook.WebhookID{w.ID}, f.lost(t), "though it said that it would not look for a while")
			}
			require.False(t, f.sleeps(t, w, nap(b)))
			require.False(t, must(f.DrainEnds(t.Context(), w.ID, b.Changes)))
			b = f.backlog(t, w, 10)
			require.Nil(t, b.PausedAt)
			require.True(t, f.sleeps(t, w, nap(b)), "it has seen the change")
			require.Empty(t, f.lost(t))

			// An older binary signals a change by due_at alone.
			b = f.backlog(t, w, 10)
			f.exec(t, `update drains set due_at = '-infinity'`)
			require.False(t, f.sleeps(t, w, nap(b)))
			require.True(t, f.sleeps(t, w, nap(f.backlog(t, w, 10))))
		})
	}
}

// A drain without a row has nothing to note, and is not told to look again and again.
func TestNapOfADrainWithoutARow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.True(t, f.sleeps(t, f.webhook(t), hook.Nap{In: time.Minute, Until: time.Now()}))
}

// A drain does not end if something has changed, although nothing is deferred.
func TestDrainDoesNotEndOverAChange(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.setDeferred(t, w, id)
	f.attempt(t, id, answered(200))
	b := f.backlog(t, w, 10)
	f.pause(t, w, true)
	require.False(t, must(f.DrainEnds(t.Context(), w.ID, b.Changes)))
	require.True(t, must(f.DrainEnds(t.Context(), w.ID, f.backlog(t, w, 10).Changes)))
}

// C3: the first deferred delivery wakes a drain that sleeps because nothing is due, whichever operation defers it.
// Later ones don't update the drain's row. None does while the drain sleeps for another reason.
func TestDeferringWakesAnIdleDrain(t *testing.T) {
	t.Parallel()
	for name, postpone := range map[string]func(*testing.T, *fixture, hook.Webhook){
		"accept": func(t *testing.T, f *fixture, _ hook.Webhook) {
			t.Helper()
			f.publish(t, "user.created")
		},
		"accept under a key": func(t *testing.T, f *fixture, _ hook.Webhook) {
			t.Helper()
			must(f.Publish(t.Context(), publication(rand.Text(), `{}`)))
		},
		"defer": func(t *testing.T, f *fixture, w hook.Webhook) {
			t.Helper()
			require.NoError(t, f.SetBreaker(t.Context(), w.ID, false))
			f.setDeferred(t, w, f.delivery(t, w))
			require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
		},
		"replay": func(t *testing.T, f *fixture, w hook.Webhook) {
			t.Helper()
			f.past(t, "user.created")
			r := f.replay(t, w, hook.ReplayMissing, nil)
			step := must(f.ReplayStep(t.Context(), r.ID, 0))
			require.Equal(t, 1, step.Created)
			require.Empty(t, step.Undrained)
			_, err := f.UpdateReplay(t.Context(), w.TenantID, r.ID, func(r *hook.Replay) error { r.State = hook.ReplayCanceled; return nil })
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.asleep(t)
			changes := func() int64 { return scalar[int64](t, f, `select changes from drains`) }
			postpone(t, f, w)
			require.EqualValues(t, 1, changes())
			postpone(t, f, w)
			require.EqualValues(t, 1, changes())
			require.Equal(t, []hook.WebhookID{w.ID}, f.lost(t))
			postpone(t, f, w)
			require.Empty(t, f.lost(t), "it was woken")

			b := f.backlog(t, w, 10)
			require.EqualValues(t, 1, b.Changes)
			require.True(t, f.sleeps(t, w, hook.Nap{In: time.Minute, Changes: b.Changes}), "until its next probe")
			postpone(t, f, w)
			require.EqualValues(t, 1, changes())
			require.Empty(t, f.lost(t))
			f.nap(t, w)
			postpone(t, f, w)
			require.Equal(t, []hook.WebhookID{w.ID}, f.lost(t))
		})
	}
}

// A drain that notes that nothing is due waits for transactions that are deferring deliveries, and sees these.
func TestNapSeesWhatIsBeingDeferred(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.asleep(t)
	b := f.backlog(t, w, 10)
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }() // it is committed by then
	for _, sql := range []string{
		`select from drains for key share`,
		`insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked)
			select gen_random_uuid(), event_id, webhook_id, tenant_id, event_type, 'pending', now(), created_at, now(), true from deliveries`,
	} {
		_, err = tx.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	slept := make(chan bool, 1)
	go func() {
		asleep, err := f.DrainSleeps(t.Context(), w.ID, napOf(b))
		slept <- asleep || err != nil
	}()
	f.blocked(t)
	require.NoError(t, tx.Commit(t.Context()))
	require.False(t, <-slept)
}

// An accept that starts before a drain notes that nothing is due, and waits for that note, wakes the drain.
func TestAcceptSeesTheNap(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.asleep(t)
	f.backlog(t, w, 10)
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }() // it is committed by then
	_, err = tx.Exec(t.Context(), `select from drains for update`)
	require.NoError(t, err)
	var accept errgroup.Group
	accept.Go(func() error {
		_, err := f.Publish(t.Context(), publication("", `{}`))
		return err
	})
	f.blocked(t)
	_, err = tx.Exec(t.Context(), `update drains set idle = true, due_at = now() + interval '5 minutes'`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, accept.Wait())
	require.Equal(t, []hook.WebhookID{w.ID}, f.lost(t))
}

// Accepts don't wait for the accept that wakes the drain.
func TestAcceptsDoNotWaitForTheOneThatWakes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.asleep(t)
	err := pgx.BeginFunc(t.Context(), f.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `update drains set changes = changes + 1, due_at = '-infinity', idle = false`); err != nil {
			return err
		}
		f.publish(t, "user.created")
		f.publish(t, "user.created")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []hook.WebhookID{w.ID}, f.lost(t))
	require.Equal(t, 3, f.backlog(t, w, 10).Waiting)
}

// If a delivery is deferred while the drain falls asleep, the drain either looks again or is woken.
func TestDeferringWhileTheDrainFallsAsleep(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.asleep(t)
	again, woken := 0, 0
	for range longtest.Size(15, 100) {
		f.exec(t, `update deliveries set next_attempt_at = now() + interval '2 hours'`)
		require.Empty(t, f.lost(t))
		asleep := false
		var all errgroup.Group
		for range 3 {
			all.Go(func() error {
				_, err := f.Publish(t.Context(), publication("", `{}`))
				return err
			})
		}
		all.Go(func() error {
			b, err := f.Deferred(t.Context(), w.ID, 1)
			if err != nil || b.Jobs[0].DueIn < time.Minute {
				return err
			}
			asleep, err = f.DrainSleeps(t.Context(), w.ID, napOf(b))
			return err
		})
		require.NoError(t, all.Wait())
		lost := f.lost(t)
		if require.Equal(t, asleep, len(lost) > 0); asleep {
			woken++
		} else {
			again++
		}
	}
	t.Logf("it looked again in %d of 100 rounds, and was woken in %d", again, woken)
}

// A replay does not sleep if something has changed between its step and its note.
func TestChangeWakesTheReplay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	r := f.replay(t, w, hook.ReplayFailed, nil)
	turn := func(s hook.ReplayState) {
		_, err := f.UpdateReplay(t.Context(), w.TenantID, r.ID, func(r *hook.Replay) error { r.State = s; return nil })
		require.NoError(t, err)
	}
	step := func() hook.ReplayStep { return must(f.ReplayStep(t.Context(), r.ID, 0)) }
	sleeps := func(s hook.ReplayStep) bool { return must(f.ReplaySleeps(t.Context(), r.ID, 5*time.Minute, s.Changes)) }
	turn(hook.ReplayPaused)
	seen := step()
	require.Equal(t, hook.ReplayPaused, seen.Replay.State)
	require.True(t, sleeps(seen), "it has seen the change")
	require.Empty(t, must(f.LostReplays(t.Context(), 30*time.Second, 10)))
	turn(hook.ReplayPaused)
	require.Equal(t, []hook.ReplayID{r.ID}, must(f.LostReplays(t.Context(), 30*time.Second, 10)))
	require.False(t, sleeps(seen))
	seen = step()
	require.True(t, sleeps(seen))
	f.exec(t, `update replays set due_at = '-infinity'`) // as an older binary signals it
	require.False(t, sleeps(seen))
	require.True(t, sleeps(step()))
}
