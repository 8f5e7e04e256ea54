package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// backlog returns the webhook's deferred deliveries.
func (f *fixture) backlog(t *testing.T, w hook.Webhook, limit int) hook.DeferredPage {
	t.Helper()
	b, err := f.Deferred(t.Context(), w.ID, limit)
	require.NoError(t, err)
	return b
}

func (f *fixture) setDeferred(t *testing.T, w hook.Webhook, ids ...hook.DeliveryID) {
	t.Helper()
	require.NoError(t, f.Defer(t.Context(), ids, []hook.WebhookID{w.ID, w.ID}))
}

// Spec 9: the drain sends a deferred delivery until it ends; the event's workflow no longer does.
func TestDefer(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, other := f.webhook(t), f.webhook(t)
	event := f.publish(t, "user.created").Event.ID
	list := must(f.DeliveriesOfEvent(t.Context(), event, 10))
	require.Len(t, list, 2)
	mine := list[0]
	if mine.WebhookID != w.ID {
		mine = list[1]
	}
	f.setDeferred(t, w, mine.ID)
	f.setDeferred(t, w, mine.ID) // deferring it again does no harm

	jobs := must(f.Outstanding(t.Context(), []hook.EventID{event}, 0, 1))
	require.Len(t, jobs, 1)
	require.Equal(t, other.ID, jobs[0].Delivery.WebhookID)
	b := f.backlog(t, w, 10)
	require.Equal(t, 1, b.Waiting)
	require.Len(t, b.Jobs, 1)
	require.Equal(t, mine.ID, b.Jobs[0].Delivery.ID)
	require.True(t, b.Jobs[0].Delivery.Deferred)
	require.Equal(t, hook.Secret("whsec_abc123"), b.Jobs[0].Webhook.Secret)
	require.Equal(t, eventData(), b.Jobs[0].Event.Data)
	require.LessOrEqual(t, b.Jobs[0].DueIn, time.Duration(0))
	require.Zero(t, f.backlog(t, other, 10).Waiting)

	d := f.read(t, mine.ID)
	require.Equal(t, hook.StatePending, d.State, "it has not been tried")
	require.True(t, d.Outstanding())
	f.due(t, event, "1 hour")
	require.Empty(t, f.overdue(t, 100), "its event waits in the outbox")
	require.NoError(t, f.Started(t.Context(), []hook.EventID{event}))
	f.attempt(t, jobs[0].Delivery.ID, answered(200))
	require.Empty(t, f.overdue(t, 100), "what is deferred is not the reconciler's")

	d = f.attempt(t, mine.ID, answered(500))
	require.True(t, d.Deferred)
	require.Greater(t, f.backlog(t, w, 10).Jobs[0].DueIn, 20*time.Second)
	f.attempt(t, mine.ID, answered(200))
	require.Zero(t, f.backlog(t, w, 10).Waiting)
}

func TestDeferredComeLongestDueFirst(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	ids := make([]hook.DeliveryID, 0, 5)
	for i := range 5 {
		id := f.delivery(t, w)
		f.exec(t, `update deliveries set next_attempt_at = now() + $2 * interval '1 minute' where id = $1`, [16]byte(id), 2-i)
		ids = append(ids, id)
	}
	f.setDeferred(t, w, ids...)
	b := f.backlog(t, w, 3)
	require.Equal(t, 5, b.Waiting)
	require.Len(t, b.Jobs, 3)
	for i, job := range b.Jobs {
		require.Equal(t, ids[4-i], job.Delivery.ID)
	}
}

// sleeps notes that the webhook's drain sleeps, and reports whether it may.
func (f *fixture) sleeps(t *testing.T, w hook.Webhook, n hook.Nap) bool {
	t.Helper()
	asleep, err := f.DrainSleeps(t.Context(), w.ID, n)
	require.NoError(t, err)
	return asleep
}

// A drain without deferred deliveries ends, unless a delivery was deferred after its look or is being deferred.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.setDeferred(t, w, id)
	f.attempt(t, id, answered(200))
	require.Zero(t, f.backlog(t, w, 10).Waiting)
	late := f.delivery(t, w)
	f.setDeferred(t, w, late)
	require.False(t, must(f.DrainEnds(t.Context(), w.ID, 0)))
	f.attempt(t, late, answered(200))
	require.True(t, must(f.DrainEnds(t.Context(), w.ID, 0)))
	require.True(t, must(f.DrainEnds(t.Context(), w.ID, 0)), "there was none")
	require.Zero(t, scalar[int](t, f, `select count(*) from drains`))
}

// Spec 10: a drain that does not look at the time it has announced is lost. Each call that looks for lost drains
// returns it once.
func TestLostDrains(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, asleep := f.webhook(t), f.webhook(t)
	f.setDeferred(t, w, f.delivery(t, w))
	f.setDeferred(t, asleep, f.delivery(t, asleep))
	require.True(t, f.sleeps(t, asleep, hook.Nap{In: 5 * time.Minute}))
	require.Empty(t, must(f.LostDrains(t.Context(), time.Minute, 10)))
	f.exec(t, `update drains set due_at = due_at - interval '2 minutes'`)
	require.Equal(t, []hook.WebhookID{w.ID}, must(f.LostDrains(t.Context(), time.Minute, 10)))
	require.Empty(t, must(f.LostDrains(t.Context(), time.Minute, 10)), "it has as long again")
}

// Spec 9: a deferred delivery fails as Endpoint unavailable at the latest 24 h after its event.
func TestExpireDeferred(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	ids := []hook.DeliveryID{f.delivery(t, w), f.delivery(t, w), f.delivery(t, w), f.delivery(t, w), f.delivery(t, w)}
	f.setDeferred(t, w, ids[:4]...)
	f.attempt(t, ids[1], timedOut())
	f.exec(t, `update deliveries set created_at = now() - interval '24 hours 1 second' where id <> $1`, [16]byte(ids[3]))
	f.exec(t, `update deliveries set state = 'sending' where id = $1`, [16]byte(ids[2]))
	require.Len(t, must(f.ExpireDeferred(t.Context(), w.ID, hook.DeferredFor, 1)).Deliveries, 1)
	require.Len(t, must(f.ExpireDeferred(t.Context(), w.ID, hook.DeferredFor, 10)).Deliveries, 1)
	require.Empty(t, must(f.ExpireDeferred(t.Context(), w.ID, hook.DeferredFor, 10)).Deliveries)
	for i, attempts := range []int{0, 1} {
		d := f.read(t, ids[i])
		require.Equal(t, hook.StateFailed, d.State)
		require.Equal(t, "Endpoint unavailable", d.Error)
		require.Equal(t, attempts, d.Attempts)
		require.False(t, d.Outstanding())
	}
	for _, id := range ids[2:] {
		require.True(t, outstanding(f.read(t, id)), "under way, younger, or not deferred")
	}
	require.Equal(t, "failed", f.status(t, w))
}

// Spec 9: all processes see an open breaker. A new URL closes it, and so does enabling the webhook.
func TestTrip(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	event := f.publish(t, "user.created").Event.ID
	tripped := func() *time.Time {
		return must(f.Outstanding(t.Context(), []hook.EventID{event}, 0, 1))[0].Webhook.TrippedAt
	}
	require.Nil(t, tripped())
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	since := *tripped()
	require.WithinDuration(t, time.Now(), since, time.Minute)
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	require.Equal(t, since, *tripped(), "since when it has been open")
	require.Equal(t, since, *f.backlog(t, w, 1).TrippedAt)
	require.Contains(t, f.reason(t, w), "endpoint unavailable")
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, false))
	require.Nil(t, tripped())
	require.Empty(t, f.reason(t, w))

	change := func(how func(*hook.Webhook)) {
		require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
		_, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error { how(w); return nil })
		require.NoError(t, err)
	}
	change(func(w *hook.Webhook) { w.Description = "another" })
	require.NotNil(t, tripped())
	change(func(w *hook.Webhook) { w.URL = "https://example.org/hooks" })
	require.Nil(t, tripped())
	change(inactive)
	change(func(w *hook.Webhook) { w.Active, w.DisabledReason = true, "" })
	require.Nil(t, f.health(t, w).TrippedAt)
}

// S5: deleting a webhook also cancels its deferred deliveries.
func TestDeferredOfADeletedWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.setDeferred(t, w, id)
	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID))
	require.Equal(t, hook.StateCanceled, f.read(t, id).State)
	require.Zero(t, f.backlog(t, w, 10).Waiting)
}

// Publishes for a deferring webhook share a lock on its drain's row all the time. A sweeper must still see that
// the drain is lost.
func TestLostDrainsBesidePublishes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.pause(t, w, true)
	f.publish(t, "user.created")
	f.exec(t, `update drains set due_at = now() - interval '1 hour'`)
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `select from drains where webhook_id = $1 for key share`, w.ID[:]) // as every publish for it does
	require.NoError(t, err)
	require.Equal(t, []hook.WebhookID{w.ID}, must(f.LostDrains(t.Context(), 30*time.Second, 10)))
	require.NoError(t, tx.Rollback(t.Context()))
	require.Empty(t, must(f.LostDrains(t.Context(), 30*time.Second, 10)), "it has been given as long again")
}
