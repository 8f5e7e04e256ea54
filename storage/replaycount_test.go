package storage_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// count returns how many events a replay of the last hour would send.
func (f *fixture) count(t *testing.T, w hook.Webhook, status hook.ReplayStatus) hook.Estimate {
	t.Helper()
	n, err := f.CountReplay(t.Context(), hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: status, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Second),
	}, 1000)
	require.NoError(t, err)
	return n
}

// The count includes all events that the replay would send, also those of the last seconds. It is marked complete
// only if it is known to be.
func TestCountOfTheLastSeconds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.publish(t, "user.created")
	w := f.webhook(t)
	require.Equal(t, hook.Estimate{Events: 1, Complete: true}, f.count(t, w, hook.ReplayMissing))
	f.publish(t, "user.deleted")
	id := f.delivery(t, w)
	require.Equal(t, hook.Estimate{Events: 1, Complete: true}, f.count(t, w, hook.ReplayMissing), "this one has a delivery, whatever comes of it")
	for _, status := range []hook.ReplayStatus{hook.ReplayAll, hook.ReplayFailed} {
		require.False(t, f.count(t, w, status).Complete, "it depends on the attempt to come")
	}
	f.attempt(t, id, answered(200))
	require.Equal(t, hook.Estimate{Events: 2, Complete: true}, f.count(t, w, hook.ReplayAll))
	require.Equal(t, hook.Estimate{Complete: true}, f.count(t, w, hook.ReplayFailed))
}

// The count waits a short time for events that are being stored. If they are not stored by then, it is not
// complete.
func TestCountOfWhatIsBeingStored(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	_, commit := f.storing(t, time.Minute)
	require.Equal(t, hook.Estimate{}, f.count(t, w, hook.ReplayMissing))
	old := hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayMissing, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(-10 * time.Minute),
	}
	n, err := f.CountReplay(t.Context(), old, 1000)
	require.NoError(t, err)
	require.True(t, n.Complete, "no event of that time is being stored")
	counted := make(chan hook.Estimate, 1)
	go func() {
		n, _ := f.CountReplay(context.WithoutCancel(t.Context()), hook.Replay{
			TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayMissing, Since: old.Since, Until: time.Now(),
		}, 1000)
		counted <- n
	}()
	commit()
	require.Equal(t, hook.Estimate{Events: 1, Complete: true}, <-counted)
}

// The oldest event is due first. Of the deliveries that are loaded together, a later one is not due before it, so
// the oldest is sent first.
func TestReplayGoesOldestFirst(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	var want []hook.EventID
	for range 60 {
		want = append(want, f.past(t, "user.created"))
	}
	w := f.webhook(t)
	r := f.replay(t, w, hook.ReplayMissing, func(r *hook.Replay) { r.Rate = 40 })
	f.steps(t, r)
	var got []hook.EventID
	for range 6 {
		jobs := f.backlog(t, w, 10).Jobs
		require.Len(t, jobs, 10)
		require.True(t, slices.IsSortedFunc(jobs, func(a, b hook.Job) int { return int(a.DueIn - b.DueIn) }), "in the order in which they are due")
		for i := range jobs {
			got = append(got, jobs[i].Delivery.EventID)
			f.attempt(t, jobs[i].Delivery.ID, answered(200))
		}
	}
	require.Equal(t, want, got)
	require.True(t, slices.IsSortedFunc(got, func(a, b hook.EventID) int { return bytes.Compare(a[:], b[:]) }))
}

// Deliveries that are due at the same time are sent in the order in which their events were accepted.
func TestDueTogetherInOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	for range 40 {
		f.delivery(t, w)
	}
	f.exec(t, `update deliveries set parked = true, next_attempt_at = now()`)
	f.exec(t, `insert into drains (webhook_id) values ($1)`, [16]byte(w.ID))
	jobs := f.backlog(t, w, 100).Jobs
	require.Len(t, jobs, 40)
	for i := range jobs {
		require.Equal(t, jobs[0].DueIn, jobs[i].DueIn)
	}
}
