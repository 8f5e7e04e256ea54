package storage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// S10: events are listed newest first, and the pages together are the whole list. Type and time filter it.
func TestEvents(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	var all, created []hook.Event
	for i := range 9 {
		eventType := "user.created"
		if i%3 == 0 {
			eventType = "user.updated"
		}
		a := f.publish(t, eventType)
		all = append(all, a.Event)
		if eventType == "user.created" {
			created = append(created, a.Event)
		}
	}
	slices.Reverse(all)
	slices.Reverse(created)
	list := func(filter hook.EventFilter, since, until time.Time) func(hook.Page) ([]hook.Event, *[16]byte, error) {
		return func(p hook.Page) ([]hook.Event, *[16]byte, error) {
			p.Since, p.Until = since, until
			return f.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), filter, p)
		}
	}
	for _, limit := range []int{1, 2, 4, 8, 9, 10, 100} {
		require.Equal(t, all, every(t, limit, list(hook.EventFilter{}, time.Time{}, time.Time{})), "limit %d", limit)
		require.Equal(t, created, every(t, limit, list(hook.EventFilter{Type: "user.created"}, time.Time{}, time.Time{})), "limit %d", limit)

		// since <= t < until holds for each event, for every time of publication as a bound.
		for _, e := range all {
			at := e.CreatedAt
			from := every(t, limit, list(hook.EventFilter{}, at, time.Time{}))
			before := every(t, limit, list(hook.EventFilter{}, time.Time{}, at))
			require.Equal(t, all, slices.Concat(from, before), "two halves of the list")
			for _, e := range from {
				require.False(t, e.CreatedAt.Before(at))
			}
			for _, e := range before {
				require.True(t, e.CreatedAt.Before(at))
			}
		}
	}
	none, next, err := list(hook.EventFilter{Type: "user"}, time.Time{}, time.Time{})(hook.Page{Limit: 1})
	require.NoError(t, err)
	require.Nil(t, next)
	require.Empty(t, none)
}

// S10: not_delivered_to names each of the tenant's webhooks that did not get the event, with the reason.
func TestNotDeliveredTo(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	want := map[hook.WebhookID]string{
		f.webhook(t, events("user.deleted")).ID:           "not subscribed",
		f.webhook(t, inactive).ID:                         "inactive",
		f.webhook(t, events("user.deleted"), inactive).ID: "not subscribed",
	}
	resubscribed := f.webhook(t, events("user.deleted"))
	f.webhook(t, ofTenant(f.tenant(t, "other")))
	event := f.publish(t, "user.created").Event
	want[f.webhook(t).ID] = "created later"
	_, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), resubscribed.ID, func(w *hook.Webhook) error {
		w.Events = []string{"*"}
		return nil
	})
	require.NoError(t, err)
	want[resubscribed.ID] = "not subscribed"

	list, err := f.NotDeliveredTo(t.Context(), event, 100)
	require.NoError(t, err)
	got := map[hook.WebhookID]string{}
	for _, n := range list {
		got[n.WebhookID] = n.Reason
	}
	require.Equal(t, want, got)

	list, err = f.NotDeliveredTo(t.Context(), event, 2)
	require.NoError(t, err)
	require.Len(t, list, 2)
}

// A3: the reason is that of the publish, whatever has become of the webhook since.
func TestNotDeliveredToKeepsTheReason(t *testing.T) {
	t.Parallel()
	f := setup(t)
	unsubscribed, disabled, both := f.webhook(t, events("user.deleted")), f.webhook(t, inactive), f.webhook(t, inactive)
	f.pause(t, f.webhook(t), true) // it gets its delivery, which waits
	first := f.publish(t, "user.created").Event
	reasons := func(e hook.Event) map[hook.WebhookID]string {
		t.Helper()
		list, err := f.NotDeliveredTo(t.Context(), e, 100)
		require.NoError(t, err)
		got := map[hook.WebhookID]string{}
		for _, n := range list {
			got[n.WebhookID] = n.Reason
		}
		return got
	}
	want := map[hook.WebhookID]string{unsubscribed.ID: "not subscribed", disabled.ID: "inactive", both.ID: "inactive"}
	require.Equal(t, want, reasons(first))
	everything := func(w *hook.Webhook) { w.Events = []string{"*"} }
	f.change(t, unsubscribed, everything)
	f.change(t, unsubscribed, inactive)
	f.enable(t, disabled)
	f.change(t, disabled, func(w *hook.Webhook) { w.Events = []string{"user.deleted"} })
	f.change(t, both, func(w *hook.Webhook) { w.Events = []string{"user.deleted"} })
	require.Equal(t, want, reasons(first))

	f.change(t, both, everything)
	// An event's time has whole milliseconds: one of the same millisecond would be before the change.
	changed := time.Now().UnixMilli()
	require.Eventually(t, func() bool { return time.Now().UnixMilli() > changed }, time.Second, 100*time.Microsecond)
	second := f.publish(t, "user.created").Event
	f.exec(t, `insert into webhook_history (webhook_id, until, profile, cache, events, active) -- more changes than are read
		select $1, now() + n * interval '1 second', 'standard', '', '{*}', n % 2 = 0 from generate_series(1, 25) n`, [16]byte(both.ID))
	require.Equal(t, map[hook.WebhookID]string{unsubscribed.ID: "inactive", disabled.ID: "not subscribed", both.ID: "inactive"}, reasons(second))
	require.Equal(t, want, reasons(first))

	// A change that does not decide about events leaves no history, and deleting the webhook leaves none of it.
	rows := scalar[int](t, f, `select count(*) from webhook_history where webhook_id = $1`, [16]byte(both.ID))
	f.change(t, both, func(w *hook.Webhook) { w.URL = "https://example.com/other" })
	require.Equal(t, rows, scalar[int](t, f, `select count(*) from webhook_history where webhook_id = $1`, [16]byte(both.ID)))
	require.NoError(t, f.DeleteWebhook(t.Context(), both.TenantID, both.ID))
	require.Zero(t, scalar[int](t, f, `select count(*) from webhook_history where webhook_id = $1`, [16]byte(both.ID)))
	f.exec(t, `update webhook_history set until = until - interval '31 days' where webhook_id = $1`, [16]byte(disabled.ID))
	_, err := f.DropOldPartitions(t.Context(), 30*24*time.Hour)
	require.NoError(t, err)
	require.Zero(t, scalar[int](t, f, `select count(*) from webhook_history where webhook_id = $1`, [16]byte(disabled.ID)))
}

// A3: an accept may decide by a change that the event's time is before, or not yet by one that it is after. The reason is that
// of the state by which the webhook got nothing.
func TestNotDeliveredToBesideAChange(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, events("user.deleted"))
	at := time.Now()
	history := func(until time.Duration, active bool, pattern string) {
		f.exec(t, `insert into webhook_history (webhook_id, until, profile, cache, events, active) values ($1, $2, 'standard', '', array[$3], $4)`,
			[16]byte(w.ID), at.Add(until), pattern, active)
	}
	event := hook.Event{ID: hook.EventID(w.ID), TenantID: w.TenantID, Type: "user.created", CreatedAt: at}
	for i := 9; i < 16; i++ {
		event.ID[i] = 0xff
	}
	reason := func() string {
		list, err := f.NotDeliveredTo(t.Context(), event, 10)
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0].Reason
	}
	require.Equal(t, "not subscribed", reason())
	history(2*time.Second, true, "*") // then it became inactive, and after that not subscribed
	history(5*time.Second, false, "*")
	require.Equal(t, "inactive", reason())
	history(-time.Second, true, "user.deleted")
	require.Equal(t, "not subscribed", reason(), "the nearer state")
	event.CreatedAt = at.Add(-time.Minute)
	require.Equal(t, "not subscribed", reason())
	event.CreatedAt = at.Add(3 * time.Second)
	require.Equal(t, "inactive", reason())
}

// S10: if an event and a webhook were made in the same millisecond, the order of their ids decides which was
// first.
func TestNotDeliveredToWithinOneMillisecond(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, events("user.deleted"))
	event := hook.Event{ID: hook.EventID(w.ID), TenantID: w.TenantID, Type: "user.created", CreatedAt: hook.EventID(w.ID).Time()}
	for reason, last := range map[string]byte{"not subscribed": 0xff, "created later": 0} {
		for i := 9; i < 16; i++ {
			event.ID[i] = last
		}
		list, err := f.NotDeliveredTo(t.Context(), event, 10)
		require.NoError(t, err)
		require.Equal(t, []hook.NotDelivered{{WebhookID: w.ID, Reason: reason}}, list)
	}
}
