package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Outstanding loads the deliveries that have an attempt to come, due or not.
func TestOutstanding(t *testing.T) {
	t.Parallel()
	f := setup(t)
	due, later, done, canceled := f.webhook(t), f.webhook(t), f.webhook(t), f.webhook(t)
	event := f.publish(t, "user.created").Event
	foreign := f.publish(t, "user.created").Event
	test1, err := f.CreateTest(t.Context(), due, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{event.ID}, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 4)
	for _, job := range jobs {
		require.LessOrEqual(t, job.DueIn, time.Duration(0), "all are due at once")
		switch job.Webhook.ID {
		case later.ID:
			f.attempt(t, job.Delivery.ID, answered(503))
		case done.ID:
			f.attempt(t, job.Delivery.ID, answered(200))
		case canceled.ID:
			require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{job.Delivery.ID}, hook.TextWebhookDisabled))
		}
	}

	jobs, err = f.Outstanding(t.Context(), []hook.EventID{event.ID}, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 2)
	for _, job := range jobs {
		require.Equal(t, event, job.Event)
		require.Equal(t, f.read(t, job.Delivery.ID), job.Delivery)
		if job.Webhook.ID == due.ID {
			require.LessOrEqual(t, job.DueIn, time.Duration(0))
		} else {
			require.Equal(t, later.ID, job.Webhook.ID)
			require.InDelta(t, 30, job.DueIn.Seconds(), 10, "spec 1: the second attempt is due after 30 s")
		}
	}

	jobs, err = f.Outstanding(t.Context(), []hook.EventID{event.ID, foreign.ID, test1.EventID}, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 2+4, "a test is never outstanding")
	jobs, err = f.Outstanding(t.Context(), nil, 0, 1)
	require.NoError(t, err)
	require.Empty(t, jobs)
}

// The slices that several activities load are everything together, each delivery once.
func TestSlicesArePartition(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 25 {
		f.webhook(t)
	}
	ids := []hook.EventID{f.publish(t, "user.created").Event.ID, f.publish(t, "user.created").Event.ID}
	whole, err := f.Outstanding(t.Context(), ids, 0, 1)
	require.NoError(t, err)
	require.Len(t, whole, 50)
	for _, of := range []int{2, 3, 7} {
		seen := map[hook.DeliveryID]int{}
		for slice := range of {
			jobs, err := f.Outstanding(t.Context(), ids, slice, of)
			require.NoError(t, err)
			require.Less(t, len(jobs), len(whole), "no slice is everything")
			var loaded []hook.DeliveryID
			for _, job := range jobs {
				seen[job.Delivery.ID]++
				loaded = append(loaded, job.Delivery.ID)
			}
			states, err := f.States(t.Context(), ids, slice, of)
			require.NoError(t, err)
			var known []hook.DeliveryID
			for _, d := range states {
				known = append(known, d.ID)
			}
			require.ElementsMatch(t, loaded, known, "Outstanding and States slice alike")
		}
		require.Len(t, seen, len(whole))
		for id, times := range seen {
			require.Equal(t, 1, times, "%s of %d slices", id, of)
		}
	}
}

// States loads deliveries in any state, without tests.
func TestStates(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	event := f.read(t, id).EventID
	test1, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	for _, a := range []hook.Attempt{answered(500), answered(200)} {
		want := f.attempt(t, id, a)
		list, err := f.States(t.Context(), []hook.EventID{event, test1.EventID}, 0, 1)
		require.NoError(t, err)
		require.Equal(t, []hook.Delivery{want}, list)
	}
}

// S15: an attempt uses the webhook's current URL and secret.
func TestJobHasTheWebhookAsItIsNow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.attempt(t, id, answered(500))
	_, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
		w.URL, w.Secret, w.Headers = "https://new.example/x", "whsec_new", map[string]hook.Secret{"X-New": "1"}
		w.Timeout, w.MaxAttempts = 2*time.Second, 4
		return nil
	})
	require.NoError(t, err)

	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	outstanding, err := f.Outstanding(t.Context(), []hook.EventID{job.Event.ID}, 0, 1)
	require.NoError(t, err)
	require.Len(t, outstanding, 1)
	for _, got := range []*hook.Webhook{job.Webhook, outstanding[0].Webhook} {
		require.Equal(t, "https://new.example/x", got.URL)
		require.Equal(t, "whsec_new", got.Secret.Reveal())
		require.Equal(t, map[string]hook.Secret{"X-New": "1"}, got.Headers)
		require.Equal(t, 2*time.Second, got.Timeout)
		require.Equal(t, 4, got.MaxAttempts)
		require.Equal(t, hook.HealthFailing, got.Health)
		require.Equal(t, w.ID, got.ID)
		require.Equal(t, w.TenantID, got.TenantID)
	}
}

// S5, S13: Job loads a delivery in any state, with the reason why it must not be sent, if there is one.
func TestJob(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, f.read(t, id), job.Delivery)
	require.Equal(t, eventData(), job.Event.Data)
	require.Empty(t, job.Canceled())

	f.attempt(t, id, answered(200))
	job, err = f.Job(t.Context(), id)
	require.NoError(t, err, "one that has ended too")
	require.Zero(t, job.DueIn)

	_, err = f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
		inactive(w)
		return nil
	})
	require.NoError(t, err)
	job, err = f.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "Webhook disabled", job.Canceled())

	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID))
	job, err = f.Job(t.Context(), id)
	require.NoError(t, err)
	require.Nil(t, job.Webhook)
	require.Equal(t, "Webhook deleted", job.Canceled())

	_, err = f.Job(t.Context(), hook.DeliveryID{1})
	requireKind(t, hook.KindNotFound, err)
}

// S16: a webhook whose secret can't be read, because its key is missing or its row is damaged, delays neither the
// event's other webhooks nor a list.
func TestUnreadableSecretHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	f := setup(t)
	bad, good := f.webhook(t), f.webhook(t)
	f.exec(t, `update webhooks set secret = 'damaged' where id = $1`, bad.ID[:])
	event := f.publish(t, "user.created").Event
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{event.ID}, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 2)
	for _, job := range jobs {
		if job.Delivery.WebhookID == good.ID {
			require.NoError(t, job.Err)
		} else {
			require.Error(t, job.Err)
		}
	}
	list, _, err := f.Webhooks(t.Context(), hook.DefaultTenant(), hook.WebhookFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 2)
}
