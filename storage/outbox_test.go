package storage_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
)

// Design 3: the sweeper sees what was accepted longer ago than its age, oldest
// first, until it is started.
func TestOutbox(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, func(w *hook.Webhook) { w.URL = "https://example.com:8443/x" })
	gone := f.webhook(t)
	oldest := f.publish(t, "user.created")
	young := f.publish(t, "user.created")
	middle := f.publish(t, "user.created")
	f.publish(t, "file.uploaded") // nothing matches: nothing to start
	f.exec(t, `update outbox set created_at = now() - interval '1 minute' where event_id = $1`, middle.Event.ID[:])
	f.exec(t, `update outbox set created_at = now() - interval '1 hour' where event_id = $1`, oldest.Event.ID[:])

	starts, err := f.Unstarted(t.Context(), 5*time.Second, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Equal(t, []hook.EventID{oldest.Event.ID, middle.Event.ID}, ids(starts), "oldest first, the young one not yet")
	require.Equal(t, hook.Start{
		EventID: oldest.Event.ID, TenantID: hook.DefaultTenant(), EventType: "user.created", Deliveries: 2, Bytes: len(eventData()), Targets: oldest.Targets,
	}, starts[0], "what the publish itself would have started")

	starts, err = f.Unstarted(t.Context(), 5*time.Second, hook.EventID{}, 1)
	require.NoError(t, err)
	require.Equal(t, []hook.EventID{oldest.Event.ID}, ids(starts))
	starts, err = f.Unstarted(t.Context(), 0, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Len(t, starts, 3)

	require.NoError(t, f.Started(t.Context(), []hook.EventID{oldest.Event.ID, young.Event.ID}))
	require.NoError(t, f.Started(t.Context(), []hook.EventID{oldest.Event.ID}), "once more is no error")
	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), gone.ID))
	starts, err = f.Unstarted(t.Context(), 0, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Len(t, starts, 1)
	require.Equal(t, middle.Event.ID, starts[0].EventID)
	require.Equal(t, []hook.Target{{WebhookID: w.ID, Host: "example.com:8443"}, {WebhookID: gone.ID}}, starts[0].Targets,
		"a webhook that is gone has no host")
}

// Design 3: events of a burst are given to its workflow before that is started, and
// a sweeper starts the same burst; what a sweeper has seen is in no burst.
func TestShareWorkflow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	var events []hook.EventID
	for range 6 {
		events = append(events, f.publish(t, "user.created").Event.ID)
	}
	share := func(workflow string, events ...hook.EventID) []hook.EventID {
		given, err := f.ShareWorkflow(t.Context(), workflow, events)
		require.NoError(t, err)
		slices.SortFunc(given, func(a, b hook.EventID) int { return bytes.Compare(a[:], b[:]) })
		return given
	}
	require.Equal(t, events[1:3], share("burst", events[1], events[2]))
	require.Equal(t, events[3:4], share("other", events[1], events[3]), "an event is in one burst")
	for i, want := range []string{events[0].String(), "burst", "burst", "other", events[4].String()} {
		e, err := f.Event(t.Context(), hook.DefaultTenant(), events[i])
		require.NoError(t, err)
		require.Equal(t, want, e.WorkflowID)
	}

	starts, err := f.Unstarted(t.Context(), 0, hook.EventID{}, 3)
	require.NoError(t, err)
	require.Len(t, starts, 2)
	require.Equal(t, []hook.EventID{events[0]}, starts[0].EventIDs())
	require.Empty(t, starts[0].WorkflowID)
	require.Equal(t, events[1:3], starts[1].EventIDs())
	require.Equal(t, "burst", starts[1].WorkflowID)
	require.Equal(t, 2, starts[1].Deliveries)
	require.Len(t, starts[1].Targets, 1)

	require.Empty(t, share("late", events[0]), "the sweeper has it")
	require.Equal(t, events[4:], share("late", events[4], events[5]))
	starts, err = f.Unstarted(t.Context(), 0, events[1], 1)
	require.NoError(t, err)
	require.Len(t, starts, 1)
	require.Equal(t, events[1:3], starts[0].EventIDs(), "all of a burst, wherever a page begins")

	// Half of a burst was marked, then its workflow was lost with all of Temporal's: what
	// starts it again knows the other half too.
	require.NoError(t, f.Started(t.Context(), events[:5]))
	starts, err = f.Unstarted(t.Context(), 0, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Len(t, starts, 1)
	require.Equal(t, events[4:], starts[0].EventIDs())
	require.NoError(t, f.Started(t.Context(), events))
	starts, err = f.Unstarted(t.Context(), 0, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Empty(t, starts)
}

// Starters and sweepers of several processes at once: no event is given to two.
func TestShareWorkflowCompetes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	var events []hook.EventID
	for range 100 {
		events = append(events, f.publish(t, "user.created").Event.ID)
	}
	var mu sync.Mutex
	owners := map[hook.EventID]map[string]bool{}
	own := func(workflow string, ids []hook.EventID) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			if owners[id] == nil {
				owners[id] = map[string]bool{}
			}
			owners[id][workflow] = true
		}
	}
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			mine := slices.Clone(events)
			rand.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
			for len(mine) > 0 {
				n := min(len(mine), 7)
				workflow := fmt.Sprintf("burst %d %d", i, n)
				workflow += mine[0].String()
				given, err := f.ShareWorkflow(t.Context(), workflow, mine[:n])
				if err != nil {
					return err
				}
				own(workflow, given)
				mine = mine[n:]
			}
			return nil
		})
		group.Go(func() error {
			starts, err := f.Unstarted(t.Context(), 0, hook.EventID{}, 20)
			for _, s := range starts {
				own(cmp.Or(s.WorkflowID, s.EventID.String()), s.EventIDs())
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, owners, len(events))
	for id, list := range owners {
		require.Len(t, list, 1, id)
	}
}

func ids(starts []hook.Start) []hook.EventID {
	var list []hook.EventID
	for _, s := range starts {
		list = append(list, s.EventID)
	}
	return list
}

// Design 3: one sweeper at a time, in all processes, and beside it one reconciler.
func TestExclusively(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := open(t, f.url, encryptionKey)
	type exclusively func(context.Context, func(context.Context) error) (bool, error)
	for name, c := range map[string]struct{ mine, theirs, beside exclusively }{
		"sweeper":    {f.Exclusively, other.Exclusively, other.Reconciling},
		"reconciler": {f.Reconciling, other.Reconciling, other.Exclusively},
	} {
		ran, err := c.mine(t.Context(), func(ctx context.Context) error {
			ran, err := c.theirs(ctx, func(context.Context) error {
				t.Error("two at once")
				return nil
			})
			require.NoError(t, err)
			require.False(t, ran, name)
			ran, err = c.beside(ctx, func(context.Context) error { return nil })
			require.True(t, ran, name)
			return err
		})
		require.NoError(t, err)
		require.True(t, ran, name)

		broken := errors.New("broken")
		ran, err = c.theirs(t.Context(), func(context.Context) error { return broken })
		require.ErrorIs(t, err, broken)
		require.True(t, ran, name)
		ran, err = c.mine(t.Context(), func(context.Context) error { return nil })
		require.NoError(t, err)
		require.True(t, ran, "the lock was let go, after an error too")
	}
}
