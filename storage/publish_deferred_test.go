package storage_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// Spec 9: a delivery to an unavailable endpoint is deferred from the start. The event's workflow has the other
// deliveries.
func TestPublishDefers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	away, other := f.webhook(t), f.webhook(t)
	require.NoError(t, f.SetBreaker(t.Context(), away.ID, true))

	first, second := f.publish(t, "user.created"), f.publish(t, "user.created")
	for _, a := range []hook.Accepted{first, second} {
		require.Equal(t, 2, a.Event.Deliveries)
		require.Equal(t, 1, a.Due)
		require.Equal(t, []hook.Target{{WebhookID: other.ID, Host: other.Host()}}, a.Targets)
		require.Equal(t, a.Event.ID.String(), a.Event.WorkflowID)
		jobs := must(f.Outstanding(t.Context(), []hook.EventID{a.Event.ID}, 0, 1))
		require.Len(t, jobs, 1)
		require.Equal(t, other.ID, jobs[0].Delivery.WebhookID)
	}
	require.Equal(t, []hook.WebhookID{away.ID}, first.Undrained)
	require.Empty(t, second.Undrained, "its drain has been asked for")
	require.Equal(t, 2, f.backlog(t, away, 10).Waiting)
	require.Zero(t, f.backlog(t, other, 10).Waiting)

	starts := f.inOutbox(t)
	require.Len(t, starts, 2)

	require.NoError(t, f.SetBreaker(t.Context(), away.ID, false))
	a := f.publish(t, "user.created")
	require.Equal(t, 2, a.Due)
	require.Len(t, a.Targets, 2)
}

// An event whose deliveries are all deferred has no workflow of its own: it shows the drain's.
func TestPublishOnlyDeferred(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two := f.webhook(t), f.webhook(t)
	for _, w := range []hook.Webhook{one, two} {
		require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	}
	p := publication("key", `{"n":1}`)
	a := must(f.Publish(t.Context(), p))
	require.Equal(t, 2, a.Event.Deliveries)
	require.Zero(t, a.Due)
	require.Empty(t, a.Targets)
	require.Equal(t, []hook.WebhookID{one.ID, two.ID}, a.Undrained)
	require.Equal(t, contract.DrainID(one.ID), a.Event.WorkflowID)
	require.Equal(t, a.Event, must(f.Event(t.Context(), hook.DefaultTenant(), a.Event.ID)))
	require.Empty(t, f.inOutbox(t), "there is no workflow to start")

	again := must(f.Publish(t.Context(), p))
	require.Equal(t, hook.Accepted{Event: a.Event, Duplicate: true}, again)
	require.Equal(t, 1, f.backlog(t, one, 10).Waiting)
}

// A drain that has found nothing does not end if an accept has deferred a delivery meanwhile. Once it has ended,
// the next accept asks for a new drain.
func TestPublishKeepsTheDrain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	require.Equal(t, []hook.WebhookID{w.ID}, f.publish(t, "user.created").Undrained)
	expire := func() {
		f.exec(t, `update deliveries set created_at = now() - interval '25 hours'`)
		require.Len(t, must(f.ExpireDeferred(t.Context(), w.ID, 24*time.Hour, 10)).Deliveries, 1)
		require.Zero(t, f.backlog(t, w, 10).Waiting)
	}
	expire()
	require.Empty(t, f.publish(t, "user.created").Undrained)
	require.False(t, must(f.DrainEnds(t.Context(), w.ID, 0)))
	expire()
	require.True(t, must(f.DrainEnds(t.Context(), w.ID, 0)))
	require.Equal(t, []hook.WebhookID{w.ID}, f.publish(t, "user.created").Undrained)
}

// If deliveries are deferred while a drain ends, some drain has them: either this drain does not end, or the
// accept asks for a new one.
func TestDeferringWhileTheDrainEnds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	kept, begun := 0, 0
	for range longtest.Size(15, 100) {
		f.publish(t, "user.created")
		require.Len(t, must(f.ExpireDeferred(t.Context(), w.ID, -time.Hour, 10)).Deliveries, 1)
		var ended atomic.Bool
		var undrained atomic.Int32
		var both errgroup.Group
		for range 3 {
			both.Go(func() error {
				a, err := f.Publish(t.Context(), publication("", `{}`))
				undrained.Add(int32(len(a.Undrained)))
				return err
			})
		}
		both.Go(func() error {
			end, err := f.DrainEnds(t.Context(), w.ID, 0)
			ended.Store(end)
			return err
		})
		require.NoError(t, both.Wait())
		require.Equal(t, 1, scalar[int](t, f, `select count(*) from drains`))
		if require.Equal(t, ended.Load(), undrained.Load() > 0); ended.Load() {
			begun++
		} else {
			kept++
		}
		require.Len(t, must(f.ExpireDeferred(t.Context(), w.ID, -time.Hour, 10)).Deliveries, 3)
		require.True(t, must(f.DrainEnds(t.Context(), w.ID, 0)))
	}
	t.Logf("the drain ended in %d of 100 rounds, and went on in %d", begun, kept)
}
