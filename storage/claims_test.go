package storage_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage"
	"grapnel/storage/storagetest"
)

// wanted returns the deliveries with the current versions of their webhooks, as a run that has just loaded them
// wants them.
func wanted(t *testing.T, s *storage.Store, ids ...hook.DeliveryID) []hook.Wanted {
	t.Helper()
	var list []hook.Wanted
	for _, id := range ids {
		job, err := s.Job(t.Context(), id)
		require.NoError(t, err)
		list = append(list, hook.Wanted{ID: id, Version: job.Webhook.Version})
	}
	return list
}

// M7: a claim belongs to one run, survives a lost answer, and can be taken back.
func TestClaimDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.topicWebhook(t, room(), "a")
	f.topicWebhook(t, room(), "b")
	e := message(t, f.Store, room(), "x")
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{e.ID}, 0, 1)
	require.NoError(t, err)
	ids := []hook.DeliveryID{jobs[0].Delivery.ID, jobs[1].Delivery.ID}
	mine, other := hook.Claim{1}, hook.Claim{2}
	claim := func(c hook.Claim, ids ...hook.DeliveryID) []hook.DeliveryID {
		claimed, err := f.ClaimDeliveries(t.Context(), wanted(t, f.Store, ids...), c)
		require.NoError(t, err)
		return claimed
	}
	require.Equal(t, ids[:1], claim(mine, ids[0]))
	require.Equal(t, hook.StateSending, f.read(t, ids[0]).State)
	require.Equal(t, ids[1:], claim(other, ids...), "what is held is not claimed by another")
	require.Equal(t, ids[:1], claim(mine, ids...), "claiming again gives the same again")

	require.NoError(t, f.ReleaseDeliveries(t.Context(), ids, other))
	require.Equal(t, hook.StateSending, f.read(t, ids[0]).State, "not the other's to release")
	require.Equal(t, hook.StatePending, f.read(t, ids[1]).State)

	list, err := f.DropDeliveries(t.Context(), ids, time.Minute)
	require.NoError(t, err)
	require.Empty(t, list.Deliveries, "it is being sent")
	require.Equal(t, hook.StateSending, f.read(t, ids[0]).State)
	list, err = f.DropDeliveries(t.Context(), ids, 0)
	require.NoError(t, err)
	require.Equal(t, ids[:1], list.Deliveries)
	dropped := f.read(t, ids[0])
	require.Equal(t, hook.StateDropped, dropped.State)
	require.Equal(t, hook.TextDropped, dropped.Error)
	require.False(t, dropped.Outstanding())
	require.Equal(t, hook.StatePending, f.read(t, ids[1]).State, "what is not claimed is not dropped")
	require.Empty(t, claim(mine, ids[0]), "never again")

	// The run that was taken for dead records its result.
	require.Equal(t, hook.StateSuccess, f.attempt(t, ids[0], answered(200)).State)
}

// S12: a delivery that is being sent is pending, also for the filter.
func TestClaimedDeliveriesArePending(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.topicWebhook(t, room(), "a")
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{message(t, f.Store, room(), "x").ID}, 0, 1)
	require.NoError(t, err)
	_, err = f.ClaimDeliveries(t.Context(), wanted(t, f.Store, jobs[0].Delivery.ID), hook.Claim{1})
	require.NoError(t, err)
	for state, want := range map[hook.DeliveryState]int{hook.StatePending: 1, "": 1, hook.StateFailed: 0} {
		list, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{State: state}, hook.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list, want, "%q", state)
	}
}

// M7: if many runs claim the same delivery at once, one gets it.
func TestClaimsCompete(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.topicWebhook(t, room(), "a")
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{message(t, f.Store, room(), "x").ID}, 0, 1)
	require.NoError(t, err)
	var got atomic.Int64
	var group errgroup.Group
	for i := range 20 {
		group.Go(func() error {
			claimed, err := f.ClaimDeliveries(t.Context(), wanted(t, f.Store, jobs[0].Delivery.ID), hook.Claim{byte(i + 1)})
			got.Add(int64(len(claimed)))
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Equal(t, int64(1), got.Load())
}

// Deleting the webhook cancels a claimed delivery. A success that is recorded later counts all the same.
func TestClaimOfADeletedWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.topicWebhook(t, room(), "a")
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{message(t, f.Store, room(), "x").ID}, 0, 1)
	require.NoError(t, err)
	id := jobs[0].Delivery.ID
	_, err = f.ClaimDeliveries(t.Context(), wanted(t, f.Store, id), hook.Claim{1})
	require.NoError(t, err)
	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID))
	require.Equal(t, hook.StateCanceled, f.read(t, id).State)
	require.Equal(t, hook.StateSuccess, f.record(t, storagetest.RecordOf(&jobs[0], answered(200))).State)
}
