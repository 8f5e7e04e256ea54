package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// setupLimited is setup with a limit of deliveries for each request.
func setupLimited(t *testing.T, deliveries int) *fixture {
	t.Helper()
	f := setup(t)
	f.Store = openLimited(t, f.url, storage.Limits{Deliveries: deliveries})
	return f
}

// occurrence is an event of the type, to be published.
func occurrence(eventType string) hook.Publication {
	return hook.Publication{TenantID: hook.DefaultTenant(), Type: eventType, Data: []byte(`1`)}
}

func (f *fixture) stored(t *testing.T) [3]int {
	t.Helper()
	return [3]int{
		scalar[int](t, f, `select count(*)::int from events`), scalar[int](t, f, `select count(*)::int from deliveries`),
		scalar[int](t, f, `select count(*)::int from outbox`),
	}
}

// An event with more deliveries than a request may make is refused, however many its type had the last time.
// Events that share its statement are accepted.
func TestPublishOfTooManyDeliveries(t *testing.T) {
	t.Parallel()
	f := setupLimited(t, 2)
	f.webhook(t)
	require.Equal(t, 1, f.publish(t, "user.created").Event.Deliveries)
	f.webhook(t)
	require.Equal(t, 2, f.publish(t, "user.created").Event.Deliveries)
	f.webhook(t, events("user.*", "user.created")) // a webhook whose patterns match twice gets one delivery
	before := f.stored(t)
	keyed := occurrence("user.created")
	keyed.IdempotencyKey = "order-1"
	for range 2 { // the second round knows the fan-out
		for _, p := range []hook.Publication{occurrence("user.created"), keyed} {
			_, err := f.Publish(t.Context(), p)
			require.Equal(t, hook.KindLimit, hook.KindOf(err))
			require.ErrorContains(t, err, "more than 2 deliveries")
		}
	}
	require.Equal(t, before, f.stored(t))
	require.Zero(t, scalar[int](t, f, `select count(*)::int from idempotency_keys`), "the key is free")

	many := make(chan error, 20)
	for i := range 20 {
		go func() {
			name := "user.deleted"
			if i%2 == 0 {
				name = "user.created"
			}
			_, err := f.Publish(t.Context(), occurrence(name))
			if (err != nil) != (i%2 == 0) {
				many <- err
				return
			}
			many <- nil
		}()
	}
	for range 20 {
		require.NoError(t, <-many)
	}
	require.Equal(t, before[0]+10, f.stored(t)[0])
	require.Equal(t, before[1]+10, f.stored(t)[1], "of user.*")
}

// M6: a message that is refused uses up no number of its topic.
func TestMessageOfTooManyDeliveries(t *testing.T) {
	t.Parallel()
	f := setupLimited(t, 1)
	message := hook.Publication{TenantID: hook.DefaultTenant(), Cache: "chat", Type: "room", Data: []byte(`1`)}
	require.EqualValues(t, 1, must(f.Publish(t.Context(), message)).Event.Sequence)
	var last hook.Webhook
	for _, name := range []string{"a", "b"} {
		last = f.webhook(t, func(w *hook.Webhook) {
			w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, "chat", name, []string{"room"}
		})
	}
	_, err := f.Publish(t.Context(), message)
	require.Equal(t, hook.KindLimit, hook.KindOf(err))
	require.NoError(t, f.DeleteWebhook(t.Context(), last.TenantID, last.ID))
	require.EqualValues(t, 2, must(f.Publish(t.Context(), message)).Event.Sequence)
}

// If the events of a batch would have too many deliveries together, all are refused. Repeats have no deliveries.
func TestBatchOfTooManyDeliveries(t *testing.T) {
	t.Parallel()
	f := setupLimited(t, 5)
	f.webhook(t, events("user.*", "user.created"))
	f.webhook(t, events("user.created", "user.deleted"))
	f.webhook(t, events("user.*"), func(w *hook.Webhook) { inactive(w) })
	f.webhook(t, events("user.*"), ofTenant(f.tenant(t, "other")))
	f.webhook(t, func(w *hook.Webhook) { w.Profile, w.Events = hook.ProfileCommenda, []string{"user.*"} })
	batch := func(n int, name, key string) []hook.Publication {
		var list []hook.Publication
		for i := range n {
			p := occurrence(name)
			if key != "" {
				p.IdempotencyKey = key + string(rune('a'+i))
			}
			list = append(list, p)
		}
		return list
	}
	refused := func(list []hook.Publication) {
		t.Helper()
		before := f.stored(t)
		_, errs := f.PublishAll(t.Context(), list)
		for _, err := range errs {
			require.Equal(t, hook.KindLimit, hook.KindOf(err))
			require.ErrorContains(t, err, "more than 5 deliveries")
		}
		require.Equal(t, before, f.stored(t))
	}
	accepted := func(list []hook.Publication) {
		t.Helper()
		_, errs := f.PublishAll(t.Context(), list)
		for _, err := range errs {
			require.NoError(t, err)
		}
	}
	refused(batch(3, "user.created", ""))
	accepted(append(batch(2, "user.created", ""), batch(1, "user.updated", "")...))
	refused(append(batch(2, "user.created", ""), batch(2, "user.updated", "")...))
	accepted(batch(9, "project.created", ""))
	accepted(append(batch(1, "user.*", ""), batch(1, "user.created", "k")...)) // two deliveries each: a topic is no pattern
	accepted(append(batch(2, "user.created", ""), batch(1, "user.created", "k")...))
	refused(append(batch(2, "user.created", ""), batch(2, "user.created", "k")...))
}

// The limit is for clients' requests, not for operational events.
func TestOperationalEventsAreNotLimited(t *testing.T) {
	t.Parallel()
	f := setupLimited(t, 1)
	w := f.webhook(t, func(w *hook.Webhook) { w.MaxAttempts = 1 })
	for range 3 {
		f.webhook(t, events(hook.TypeDeliveryFailed))
	}
	f.attempt(t, f.delivery(t, w), answered(500))
	require.Equal(t, 3, scalar[int](t, f, `select count(*)::int from deliveries where event_type = $1`, hook.TypeDeliveryFailed))
}
