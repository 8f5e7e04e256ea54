package storage_test

import (
	"bytes"
	"cmp"
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

// claim claims a page of the outbox, whatever the age of its entries.
func (f *fixture) claim(t *testing.T, change ...func(*hook.OutboxClaim)) hook.OutboxPage {
	t.Helper()
	c := hook.OutboxClaim{For: time.Minute, Limit: 100}
	for _, change := range change {
		change(&c)
	}
	page, err := f.ClaimUnstarted(t.Context(), c)
	require.NoError(t, err)
	return page
}

// inOutbox returns the starts in the outbox, by id.
func (f *fixture) inOutbox(t *testing.T) []hook.Start {
	t.Helper()
	page := f.claim(t)
	require.NoError(t, f.Unclaim(t.Context(), page.Events))
	starts := append(page.Unnamed, slices.Concat(page.Named...)...)
	slices.SortFunc(starts, func(a, b hook.Start) int { return bytes.Compare(a.EventID[:], b.EventID[:]) })
	return starts
}

// accept publishes n events.
func (f *fixture) accept(t *testing.T, n int) []hook.EventID {
	t.Helper()
	var events []hook.EventID
	for range n {
		events = append(events, f.publish(t, "user.created").Event.ID)
	}
	return events
}

func startIDs(starts []hook.Start) []hook.EventID {
	var list []hook.EventID
	for _, s := range starts {
		list = append(list, s.EventID)
	}
	return list
}

// A sweeper counts the events that have a due delivery which was neither attempted nor deferred.
func TestUnattempted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	events := f.accept(t, 4)
	count := func(want int) {
		t.Helper()
		n, err := f.Unattempted(t.Context(), events)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	count(4)
	for i, change := range []string{"attempts = 1", "parked = true", "next_attempt_at = now() + interval '1 minute'", "state = 'canceled', next_attempt_at = null"} {
		f.exec(t, "update deliveries set "+change+" where event_id = $1", [16]byte(events[i]))
		count(3 - i)
	}
}

// A sweeper gets the events that were accepted longer ago than its age, oldest first, until they are started.
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
	old := func(c *hook.OutboxClaim) { c.Age = 5 * time.Second }

	page := f.claim(t, old)
	require.Equal(t, []hook.EventID{oldest.Event.ID, middle.Event.ID}, page.Events, "oldest first, the young one not yet")
	require.Equal(t, page.Events, startIDs(page.Unnamed))
	require.Empty(t, page.Named)
	require.Equal(t, hook.Start{
		EventID: oldest.Event.ID, TenantID: hook.DefaultTenant(), EventType: "user.created", Deliveries: 2, Bytes: len(eventData()),
	}, page.Unnamed[0], "what the publish itself would have started, but for the targets")
	require.Empty(t, f.claim(t, old).Events, "they are claimed")

	require.NoError(t, f.Unclaim(t.Context(), page.Events))
	one := func(c *hook.OutboxClaim) { c.Limit = 1 }
	page = f.claim(t, old, one)
	require.Equal(t, []hook.EventID{oldest.Event.ID}, page.Events)
	require.True(t, page.More)
	require.Equal(t, oldest.Event.ID, page.Last)
	page = f.claim(t, one)
	require.Empty(t, page.Events, "it is claimed")
	require.True(t, page.More, "and there are others")
	next := func(c *hook.OutboxClaim) { c.After = page.Last }
	require.Equal(t, []hook.EventID{young.Event.ID, middle.Event.ID}, f.claim(t, next).Events)
	require.False(t, f.claim(t).More)
	require.NoError(t, f.Unclaim(t.Context(), []hook.EventID{oldest.Event.ID, young.Event.ID, middle.Event.ID}))
	after := func(c *hook.OutboxClaim) { c.After = oldest.Event.ID }
	except := func(c *hook.OutboxClaim) { c.Except = []hook.EventID{young.Event.ID} }
	require.Equal(t, []hook.EventID{middle.Event.ID}, f.claim(t, after, except).Events)
	require.NoError(t, f.Unclaim(t.Context(), []hook.EventID{middle.Event.ID}))

	require.NoError(t, f.Started(t.Context(), []hook.EventID{oldest.Event.ID, young.Event.ID}))
	require.NoError(t, f.Started(t.Context(), []hook.EventID{oldest.Event.ID}), "once more is no error")
	require.Equal(t, []hook.EventID{middle.Event.ID}, f.claim(t).Events)

	targets := must(f.Targets(t.Context(), []hook.EventID{oldest.Event.ID}))
	require.Equal(t, oldest.Targets, targets[oldest.Event.ID])
	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), gone.ID))
	targets = must(f.Targets(t.Context(), []hook.EventID{middle.Event.ID}))
	require.Equal(t, []hook.Target{{WebhookID: w.ID, Host: "example.com:8443"}, {WebhookID: gone.ID}}, targets[middle.Event.ID],
		"a webhook that is gone has no host")
}

// The claim of a process that has died expires, and another process can claim its events.
func TestClaimsRunOut(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	events := f.accept(t, 3)
	require.Equal(t, events, f.claim(t).Events)
	require.Empty(t, f.claim(t).Events)
	f.exec(t, `update outbox set claimed_until = now() - interval '1 millisecond' where event_id = $1`, events[1][:])
	require.Equal(t, events[1:2], f.claim(t).Events)
}

// Starters and sweepers store the name of the events' workflow before they start it. Each later claim of
// one of the events starts the same workflow.
func TestShareWorkflow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	events := f.accept(t, 6)
	share := func(workflow string, events ...hook.EventID) []hook.EventID {
		given, err := f.ShareWorkflow(t.Context(), workflow, events)
		require.NoError(t, err)
		slices.SortFunc(given, func(a, b hook.EventID) int { return bytes.Compare(a[:], b[:]) })
		return given
	}
	require.Equal(t, events[1:3], share("burst", events[1], events[2]))
	require.Equal(t, events[3:4], share("other", events[1], events[3]), "an event is in one burst")
	require.Equal(t, events[5:], share("", events[2], events[5]), "its own")
	for i, want := range []string{events[0].String(), "burst", "burst", "other", events[4].String(), events[5].String()} {
		e, err := f.Event(t.Context(), hook.DefaultTenant(), events[i])
		require.NoError(t, err)
		require.Equal(t, want, e.WorkflowID)
	}

	page := f.claim(t, func(c *hook.OutboxClaim) { c.Limit = 2 })
	require.Equal(t, events[:2], page.Events)
	require.Equal(t, events[:1], startIDs(page.Unnamed))
	require.Len(t, page.Named, 1)
	require.Equal(t, events[1:3], startIDs(page.Named[0]), "all of a burst, claimed or not")
	require.Equal(t, "burst", page.Named[0][0].WorkflowID)
	require.Equal(t, events[:1], share("late", events[0]), "a claim is no name: who names it starts it")

	page = f.claim(t)
	require.Equal(t, events[2:], page.Events, "the others are claimed")
	require.Equal(t, events[4:5], startIDs(page.Unnamed))
	var named [][]hook.EventID
	for _, list := range page.Named {
		named = append(named, startIDs(list))
	}
	require.Equal(t, [][]hook.EventID{events[1:3], events[3:4], events[5:]}, named, "of a burst, wherever a page begins")
	require.Empty(t, page.Named[2][0].WorkflowID, "its own")

	// Half of a burst was marked as started, then its workflow was lost with all of Temporal's state: a restart
	// includes the other half.
	require.NoError(t, f.Started(t.Context(), slices.Concat(events[:2], events[3:])))
	require.Equal(t, events[1:3], startIDs(f.inOutboxLate(t)))
	require.NoError(t, f.Started(t.Context(), events))
	require.Empty(t, f.inOutboxLate(t))
}

// inOutboxLate is inOutbox after all claims have expired.
func (f *fixture) inOutboxLate(t *testing.T) []hook.Start {
	t.Helper()
	f.exec(t, `update outbox set claimed_until = now()`)
	return f.inOutbox(t)
}

// If starters and sweepers of several processes claim at once, no event goes to two of them.
func TestShareWorkflowCompetes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	events := f.accept(t, 100)
	var mu sync.Mutex
	owners := map[hook.EventID]map[string]bool{}
	claims := map[hook.EventID]int{}
	own := func(workflow string, ids []hook.EventID) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			if owners[id] == nil {
				owners[id] = map[string]bool{}
			}
			owners[id][cmp.Or(workflow, id.String())] = true
		}
	}
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			mine := slices.Clone(events)
			rand.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
			for len(mine) > 0 {
				n := min(len(mine), 7)
				workflow := fmt.Sprintf("burst %d %d", i, n) + mine[0].String()
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
			page, err := f.ClaimUnstarted(t.Context(), hook.OutboxClaim{For: time.Minute, Limit: 20, After: events[i*10]})
			if err != nil {
				return err
			}
			mu.Lock()
			for _, id := range page.Events {
				claims[id]++
			}
			mu.Unlock()
			for _, list := range page.Named {
				own(list[0].WorkflowID, startIDs(list))
			}
			given, err := f.ShareWorkflow(t.Context(), "", startIDs(page.Unnamed))
			own("", given)
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, owners, len(events))
	for id, list := range owners {
		require.Len(t, list, 1, id)
		require.LessOrEqual(t, claims[id], 1, "one claim at a time")
	}
}

// The starter of an older version may have started an event's workflow without storing its name: such an event
// gets no other workflow than its own. The older sweeper does the same with events of this version, and keeps
// names that are stored.
func TestClaimsBesideAnOlderVersion(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	events := f.accept(t, 4)
	f.exec(t, `update outbox set claimed_until = null where event_id = any($1)`, [][]byte{events[0][:], events[1][:]})
	require.Equal(t, events[1:2], must(f.ShareWorkflow(t.Context(), "burst", events[1:2])), "its starter's burst")
	// Runs the first statement of the older sweeper.
	f.exec(t, `update outbox set workflow_id = '' where workflow_id is null and event_id = $1`, events[2][:])

	page := f.claim(t)
	require.Equal(t, events[3:], startIDs(page.Unnamed))
	require.Equal(t, [][]hook.EventID{events[:1], events[1:2], events[2:3]}, [][]hook.EventID{startIDs(page.Named[0]), startIDs(page.Named[1]), startIDs(page.Named[2])})
	require.Empty(t, page.Named[0][0].WorkflowID)
	require.Equal(t, "burst", page.Named[1][0].WorkflowID)
	require.Empty(t, page.Named[2][0].WorkflowID)
	require.Empty(t, must(f.ShareWorkflow(t.Context(), "late", events[:1])), "it has its own")
}
