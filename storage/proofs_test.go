package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// Spec 9: any answer to a request that passed an open breaker closes the breaker and wakes the drain, in the
// transaction that records the attempt. An attempt without an answer does not.
func TestAnswersCloseTheBreaker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		test    bool
		attempt hook.Attempt
		closes  bool
	}{
		"a probe":              {false, answered(200), true},
		"a probe that fails":   {false, answered(503), true},
		"a retry by hand":      {false, byHand(answered(200)), true},
		"one that fails":       {false, byHand(answered(500)), true},
		"a test":               {true, answered(200), true},
		"a test that fails":    {true, answered(404), true},
		"nobody there":         {false, timedOut(), false},
		"nobody there by hand": {true, broken(hook.ClassRefused, "Connection refused"), false},
		"blocked":              {true, broken(hook.ClassBlocked, "Blocked destination"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w, other := f.webhook(t), f.webhook(t)
			id := f.delivery(t, w)
			f.setDeferred(t, w, id)
			require.NoError(t, f.SetBreaker(t.Context(), other.ID, true))
			require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
			changes := f.backlog(t, w, 1).Changes
			require.True(t, f.sleeps(t, w, hook.Nap{In: 5 * time.Minute, Changes: changes}))
			require.Empty(t, f.lost(t))
			if c.test {
				d, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
				require.NoError(t, err)
				id = d.ID
			}
			f.attempt(t, id, c.attempt)
			require.NotNil(t, f.health(t, other).TrippedAt)
			if !c.closes {
				require.NotNil(t, f.health(t, w).TrippedAt)
				require.Equal(t, "failing", f.status(t, w))
				require.Empty(t, f.lost(t))
				return
			}
			require.Nil(t, f.health(t, w).TrippedAt)
			require.Equal(t, []hook.WebhookID{w.ID}, f.lost(t), "it is woken")
			require.False(t, f.sleeps(t, w, hook.Nap{In: 5 * time.Minute, Changes: changes}))
		})
	}
}

// An answer closes only the breaker through which its request passed. If the breaker was opened again since, it
// stays open, also when a recording is repeated.
func TestAnswersCloseNoLaterBreaker(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	r := storagetest.RecordOf(&job, byHand(answered(500)))
	f.record(t, r)
	require.Nil(t, f.health(t, w).TrippedAt)
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	f.record(t, r)
	require.NotNil(t, f.health(t, w).TrippedAt)
	r.Attempt.ID[0]++
	f.record(t, r)
	require.NotNil(t, f.health(t, w).TrippedAt, "it began before")
}

// One recording can close the breaker and change the health.
func TestAnAnswerClosesAndHeals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	first, second := f.delivery(t, w), f.delivery(t, w)
	f.attempt(t, first, timedOut())
	require.Equal(t, "failing", f.status(t, w))
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	f.attempt(t, second, answered(200))
	require.Equal(t, "healthy", f.status(t, w))
	require.Empty(t, f.reason(t, w))
}

// S12: every read of a delivery shows what the delivery waits for.
func TestShownDeliveriesWait(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	event := f.publish(t, "user.created").Event.ID
	id := must(f.DeliveriesOfEvent(t.Context(), event, 10))[0].ID
	shown := func() *hook.Wait {
		t.Helper()
		d := f.read(t, id)
		list, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{}, hook.Page{Limit: 10})
		require.NoError(t, err)
		for _, other := range []hook.Delivery{
			list[0], must(f.DeliveriesOfEvent(t.Context(), event, 10))[0], must(f.States(t.Context(), []hook.EventID{event}, 0, 1))[0],
		} {
			if d.Waits == nil {
				require.Nil(t, other.Waits)
				continue
			}
			require.Equal(t, []any{d.Waits.Reason, d.Waits.Since}, []any{other.Waits.Reason, other.Waits.Since})
		}
		return d.Waits
	}
	require.Nil(t, shown(), "it is about to be sent")
	f.setDeferred(t, w, id)
	require.Equal(t, hook.WaitInFlight, shown().Reason)
	f.exec(t, `update webhooks set rate_limit = 5`)
	require.Equal(t, hook.WaitRate, shown().Reason)
	require.Equal(t, *f.read(t, id).NextAttemptAt, shown().Since)

	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	require.Equal(t, hook.WaitUnavailable, shown().Reason)
	require.Equal(t, *f.health(t, w).TrippedAt, shown().Since)
	require.Nil(t, shown().ProbeAt)
	probeIn := 3 * time.Minute
	require.True(t, f.sleeps(t, w, hook.Nap{In: probeIn, Changes: f.backlog(t, w, 1).Changes, ProbeIn: &probeIn}))
	require.WithinDuration(t, time.Now().Add(probeIn), *shown().ProbeAt, time.Minute)
	f.exec(t, `update drains set probe_at = now() - interval '1 hour'`)
	require.WithinDuration(t, time.Now(), *shown().ProbeAt, time.Minute, "never in the past")

	f.pause(t, w, true)
	require.Equal(t, hook.WaitPaused, shown().Reason)
	require.Equal(t, *f.health(t, w).PausedAt, shown().Since)
	f.exec(t, `update deliveries set next_attempt_at = now() + interval '1 hour'`)
	require.Nil(t, shown(), "it is not due yet")
	f.exec(t, `update deliveries set next_attempt_at = null, state = 'failed'`)
	require.Nil(t, shown())
}
