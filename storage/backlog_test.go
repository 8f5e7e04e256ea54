package storage_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// The backlog is counted by how long its deliveries have been due. Finished deliveries are not in it.
func TestWaiting(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	empty, err := f.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, measure.BacklogStats{Due: make([]int, 6), Deferred: make([]int, 6)}, empty)

	due := func(ago string) hook.DeliveryID {
		id := f.delivery(t, w)
		f.exec(t, `update deliveries set next_attempt_at = now() - $2::interval where id = $1`, [16]byte(id), ago)
		return id
	}
	for _, ago := range []string{"-1 hour", "5 seconds", "30 seconds", "30 seconds", "5 minutes", "30 minutes", "2 hours"} {
		due(ago)
	}
	for _, ago := range []string{"-1 hour", "2 hours"} {
		require.NoError(t, f.Defer(t.Context(), []hook.DeliveryID{due(ago)}, []hook.WebhookID{w.ID}))
	}
	f.attempt(t, f.delivery(t, w), answered(200))
	_, err = f.CreateTest(t.Context(), w, hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: eventData()})
	require.NoError(t, err)
	f.exec(t, `update outbox set created_at = now() - interval '1 minute' where event_id = (select event_id from outbox order by event_id limit 1)`)
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	f.replay(t, w, hook.ReplayFailed, nil)

	got, err := f.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 2, 1, 1, 1}, got.Due, "and the test that is about to be sent")
	require.Equal(t, []int{1, 0, 0, 0, 0, 1}, got.Deferred)
	require.InDelta(t, 2*time.Hour, got.OldestDue, float64(time.Minute))
	require.Equal(t, 10, got.Unstarted)
	require.InDelta(t, time.Minute, got.OldestUnstarted, float64(30*time.Second))
	require.Equal(t, 1, got.Breakers)
	require.Equal(t, []int{1, 0}, []int{got.ReplaysRunning, got.ReplaysPaused})
}

// counts is a storage.Metrics that keeps the numbers it gets.
type counts struct {
	mu        sync.Mutex
	published []measure.Published
	groups    map[measure.Group]int
	ended     map[hook.DeliveryState]int
	breakers  []bool
}

func (c *counts) Published(p measure.Published) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Took = 0
	c.published = append(c.published, p)
}

func (c *counts) Grouped(group measure.Group, rows int, _, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups[group] += rows
}

func (c *counts) Ended(state hook.DeliveryState, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.ended[state] += n
	}
}

func (*counts) Replayed(int) {}

func (c *counts) Breaker(open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breakers = append(c.breakers, open)
}

// counted returns a fixture whose store reports to counts.
func counted(t *testing.T) (*fixture, *counts) {
	t.Helper()
	f := setup(t)
	c := &counts{groups: map[measure.Group]int{}, ended: map[hook.DeliveryState]int{}}
	box, err := secrets.New(encryptionKey)
	require.NoError(t, err)
	f.Store, err = storage.Open(t.Context(), storage.Config{URL: f.url, Box: box, Metrics: c})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f, c
}

func TestPublishingIsCounted(t *testing.T) {
	t.Parallel()
	f, c := counted(t)
	f.webhook(t)
	f.webhook(t)
	publication := func(key, data string) hook.Publication {
		return hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(data), IdempotencyKey: key}
	}
	_, errs := f.PublishAll(t.Context(), []hook.Publication{publication("a", `1`), publication("a", `1`), publication("a", `2`), publication("", `3`)})
	require.Len(t, slices.DeleteFunc(errs, func(err error) bool { return err == nil }), 1)
	require.Equal(t, []measure.Published{{Accepted: 2, Duplicates: 1, Refused: 1, Deliveries: 4}}, c.published)
	require.Equal(t, 4, c.groups[measure.GroupPublish])

	f.Close()
	_, err := f.Publish(t.Context(), publication("", `4`))
	require.Error(t, err)
	require.Equal(t, measure.Published{Failed: 1}, c.published[1])
}

// Each end of a delivery is counted once, whatever the cause.
func TestEndsAreCounted(t *testing.T) {
	t.Parallel()
	f, c := counted(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.attempt(t, id, answered(500))
	require.Empty(t, c.ended, "attempts are to come")
	f.attempt(t, id, answered(200))
	require.Equal(t, map[hook.DeliveryState]int{hook.StateSuccess: 1}, c.ended)
	f.attempt(t, id, byHand(answered(500)))
	require.Equal(t, map[hook.DeliveryState]int{hook.StateSuccess: 1}, c.ended, "it had ended")

	id = f.delivery(t, w)
	for range hook.MaxAttempts {
		f.attempt(t, id, answered(500))
	}
	require.Equal(t, 1, c.ended[hook.StateFailed])
	require.Equal(t, 7, c.groups[measure.GroupRecord]-1, "seven attempts on schedule, one by hand")

	require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{f.delivery(t, w)}, hook.TextWebhookDisabled))
	require.Equal(t, 1, c.ended[hook.StateCanceled])

	old := f.delivery(t, w)
	require.NoError(t, f.Defer(t.Context(), []hook.DeliveryID{old}, []hook.WebhookID{w.ID}))
	f.exec(t, `update deliveries set created_at = now() - interval '2 days' where id = $1`, [16]byte(old))
	expired, err := f.ExpireDeferred(t.Context(), w.ID, hook.DeferredFor, 10)
	require.NoError(t, err)
	require.Len(t, expired.Deliveries, 1)
	require.Equal(t, 2, c.ended[hook.StateFailed])

	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, false))
	require.Equal(t, []bool{true, false}, c.breakers)

	f.delivery(t, w)
	f.delivery(t, w)
	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID))
	require.Equal(t, map[hook.DeliveryState]int{hook.StateSuccess: 1, hook.StateFailed: 2, hook.StateCanceled: 3}, c.ended)
}
