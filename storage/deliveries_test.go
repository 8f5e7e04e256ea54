package storage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// S12: deliveries are listed newest first, and the pages together are the whole list. status, event_type, since
// and until filter it.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, events("user.*"))
	f.webhook(t, events("*"))
	var all []hook.Delivery
	for i, eventType := range []string{"user.created", "user.updated", "user.created", "user.deleted", "user.created", "user.updated", "user.created"} {
		list, err := f.DeliveriesOfEvent(t.Context(), f.publish(t, eventType).Event.ID, 10)
		require.NoError(t, err)
		require.Len(t, list, 2)
		at := slices.IndexFunc(list, func(d hook.Delivery) bool { return d.WebhookID == w.ID })
		switch i {
		case 1, 2:
			f.attempt(t, list[at].ID, answered(204))
		case 4:
			f.attempt(t, list[at].ID, answered(500))
		}
		all = append(all, f.read(t, list[at].ID))
	}
	slices.Reverse(all)
	middle := all[3].CreatedAt
	for name, test := range map[string]struct {
		filter       hook.DeliveryFilter
		since, until time.Time
		keep         func(hook.Delivery) bool
		want         int
	}{
		"all":        {keep: func(hook.Delivery) bool { return true }, want: 7},
		"status":     {filter: hook.DeliveryFilter{State: hook.StateSuccess}, keep: func(d hook.Delivery) bool { return d.State == hook.StateSuccess }, want: 2},
		"failed":     {filter: hook.DeliveryFilter{State: hook.StateFailed}, keep: func(d hook.Delivery) bool { return d.State == hook.StateFailed }, want: 1},
		"event_type": {filter: hook.DeliveryFilter{EventType: "user.updated"}, keep: func(d hook.Delivery) bool { return d.EventType == "user.updated" }, want: 2},
		"both": {
			filter: hook.DeliveryFilter{State: hook.StatePending, EventType: "user.created"},
			keep:   func(d hook.Delivery) bool { return d.State == hook.StatePending && d.EventType == "user.created" }, want: 2,
		},
		"since":                             {since: middle, keep: func(d hook.Delivery) bool { return !d.CreatedAt.Before(middle) }},
		"until":                             {until: middle, keep: func(d hook.Delivery) bool { return d.CreatedAt.Before(middle) }},
		"nothing in a window that is empty": {since: middle, until: middle, keep: func(hook.Delivery) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []hook.Delivery
			for _, d := range all {
				if test.keep(d) {
					want = append(want, d)
				}
			}
			if test.want > 0 {
				require.Len(t, want, test.want)
			}
			for _, limit := range []int{1, 2, 3, 7, 100} {
				got := every(t, limit, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
					p.Since, p.Until = test.since, test.until
					return f.Deliveries(t.Context(), w.ID, test.filter, p)
				})
				require.Equal(t, want, got, "limit %d", limit)
			}
		})
	}
}

// Canceling ends outstanding deliveries and leaves those that have ended unchanged.
func TestCancelDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	pending, done, other := f.delivery(t, w), f.delivery(t, w), f.delivery(t, w)
	succeeded := f.attempt(t, done, answered(200))

	require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{pending, done}, hook.TextWebhookDeleted))
	d := f.read(t, pending)
	require.Equal(t, hook.StateCanceled, d.State)
	require.Equal(t, "Webhook deleted", d.Error)
	require.False(t, d.Outstanding())
	require.Equal(t, succeeded, f.read(t, done))
	require.Equal(t, hook.StatePending, f.read(t, other).State)

	require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{pending}, hook.TextWebhookDisabled))
	require.Equal(t, d, f.read(t, pending), "once is enough")
	require.NoError(t, f.CancelDeliveries(t.Context(), nil, hook.TextWebhookDisabled))
}

// S12: a delivery has either ended or has a next attempt. The schema allows nothing else.
func TestDeliveryInvariantsAreInTheSchema(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.delivery(t, f.webhook(t))
	for name, set := range map[string]string{
		"unknown state":               `state = 'lost'`,
		"success without a time":      `state = 'success', next_attempt_at = null`,
		"a time without success":      `delivered_at = now()`,
		"pending without an attempt":  `next_attempt_at = null`,
		"success with an attempt":     `state = 'success', delivered_at = now()`,
		"canceled with an attempt":    `state = 'canceled'`,
		"six attempts on a schedule":  `scheduled = 6`,
		"sending without its attempt": `state = 'sending', next_attempt_at = null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := f.db.Exec(t.Context(), `update deliveries set `+set)
			require.ErrorContains(t, err, "SQLSTATE 23514")
		})
	}
}
