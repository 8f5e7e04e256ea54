package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

const overdueAfter = 10 * time.Minute

// overdue returns the events that Overdue finds, page by page.
func (f *fixture) overdue(t *testing.T, limit int) []hook.Overdue {
	t.Helper()
	var all []hook.Overdue
	var mark hook.OverdueMark
	for {
		list, next, err := f.Overdue(t.Context(), overdueAfter, mark, limit)
		require.NoError(t, err)
		all = append(all, list...)
		if next == (hook.OverdueMark{}) {
			return all
		}
		require.NotEqual(t, mark, next, "it goes on")
		mark = next
	}
}

// due makes the event's deliveries due so long ago.
func (f *fixture) due(t *testing.T, e hook.EventID, ago string) {
	t.Helper()
	f.exec(t, `update deliveries set next_attempt_at = now() - $2::text::interval where event_id = $1 and next_attempt_at is not null`, e[:], ago)
}

// started publishes an event whose workflow has been started.
func (f *fixture) started(t *testing.T) hook.EventID {
	t.Helper()
	e := f.publish(t, "user.created").Event.ID
	require.NoError(t, f.Started(t.Context(), []hook.EventID{e}))
	return e
}

// An event is overdue if it has been due for more than 10 minutes and is not in the outbox. Overdue
// events are listed longest first, without tests and deliveries that have ended.
func TestOverdue(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.webhook(t) // the second webhook, so that each event has two deliveries
	recent, older, oldest, waiting, retried := f.started(t), f.started(t), f.started(t), f.publish(t, "user.created").Event.ID, f.started(t)
	f.due(t, recent, "9 minutes 59 seconds")
	f.due(t, older, "11 minutes")
	f.due(t, oldest, "3 days")
	f.due(t, waiting, "1 hour")
	f.due(t, retried, "-2 hours")
	done := f.started(t)
	f.due(t, done, "1 hour")
	for _, d := range must(f.DeliveriesOfEvent(t.Context(), done, 10)) {
		f.attempt(t, d.ID, answered(200))
	}
	test, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: eventData()})
	require.NoError(t, err)
	f.due(t, test.EventID, "1 hour")
	for _, limit := range []int{1, 2, 3, 4, 100} {
		want := []hook.Overdue{{EventID: oldest}, {EventID: older}}
		got := f.overdue(t, limit)
		if limit == 1 { // a page has each event once, but two pages may both have it
			require.Equal(t, []hook.Overdue{want[0], want[0], want[1], want[1]}, got)
			continue
		}
		require.Equal(t, want, got, "by %d", limit)
	}
	require.NoError(t, f.Started(t.Context(), []hook.EventID{waiting}))
	require.Equal(t, []hook.Overdue{{EventID: oldest}, {EventID: waiting}, {EventID: older}}, f.overdue(t, 100))
}

// A workflow that several events share is restarted with all of them that have outstanding deliveries, overdue or
// not, since it sends all of these.
func TestRestarts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, func(w *hook.Webhook) { w.URL = "https://example.com:8443/x" })
	alone := f.started(t)
	var shared []hook.EventID
	for range 5 {
		shared = append(shared, f.publish(t, "user.created").Event.ID)
	}
	_, err := f.ShareWorkflow(t.Context(), "burst", shared[:4])
	require.NoError(t, err)
	_, err = f.ShareWorkflow(t.Context(), "another", shared[4:])
	require.NoError(t, err)
	require.NoError(t, f.Started(t.Context(), shared))
	f.attempt(t, must(f.DeliveriesOfEvent(t.Context(), shared[1], 10))[0].ID, answered(200))
	f.attempt(t, must(f.DeliveriesOfEvent(t.Context(), shared[3], 10))[0].ID, answered(500))
	f.due(t, shared[2], "1 hour")
	f.due(t, alone, "2 hours")

	list := f.overdue(t, 100)
	require.Equal(t, []hook.Overdue{{EventID: alone}, {EventID: shared[2], WorkflowID: "burst"}}, list)
	starts, err := f.Restarts(t.Context(), list)
	require.NoError(t, err)
	target := []hook.Target{{WebhookID: w.ID, Host: "example.com:8443"}}
	require.Equal(t, []hook.Start{
		{EventID: alone, TenantID: hook.DefaultTenant(), EventType: "user.created", Deliveries: 1, Bytes: len(eventData()), Targets: target},
		{
			EventID: shared[0], Others: []hook.EventID{shared[2], shared[3]}, TenantID: hook.DefaultTenant(), EventType: "user.created",
			Deliveries: 3, Bytes: 3 * len(eventData()), Targets: target, WorkflowID: "burst",
		},
	}, starts)

	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID))
	starts, err = f.Restarts(t.Context(), list)
	require.NoError(t, err)
	require.Empty(t, starts, "nothing is outstanding any more")
	starts, err = f.Restarts(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, starts)
}

// Only the outstanding deliveries of an event count: a large fan-out that is nearly done is not split again.
func TestRestartsCountWhatIsOutstanding(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 3 {
		f.webhook(t)
	}
	e := f.started(t)
	for i, d := range must(f.DeliveriesOfEvent(t.Context(), e, 10)) {
		f.attempt(t, d.ID, answered([]int{200, 500, 500}[i]))
	}
	starts, err := f.Restarts(t.Context(), []hook.Overdue{{EventID: e}})
	require.NoError(t, err)
	require.Len(t, starts, 1)
	require.Equal(t, 2, starts[0].Deliveries)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
