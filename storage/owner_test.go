package storage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage"
	"grapnel/storage/storagetest"
)

// openOwned opens a store whose events have the owner.
func openOwned(t *testing.T, url string, owner func() hook.ProcessID) *storage.Store {
	t.Helper()
	return openWith(t, encryptionKey, storage.Config{URL: url, Owner: owner})
}

// setupOwned is setup with a store whose events the process owns.
func setupOwned(t *testing.T, process hook.ProcessID) *fixture {
	t.Helper()
	f := setup(t)
	f.Store = openOwned(t, f.url, func() hook.ProcessID { return process })
	return f
}

// ownerOf returns the event's owner in the outbox; zero if it has none.
func (f *fixture) ownerOf(t *testing.T, id hook.EventID) hook.ProcessID {
	t.Helper()
	if owner := scalar[*[16]byte](t, f, `select owner from outbox where event_id = $1`, id[:]); owner != nil {
		return *owner
	}
	return hook.ProcessID{}
}

// Each way to accept an event names this process as the owner of its first attempts, and tells it so.
func TestPublishNamesTheOwner(t *testing.T) {
	t.Parallel()
	process := hook.NewProcessID()
	f := setupOwned(t, process)
	f.webhook(t, events("*"))
	f.topicWebhook(t, room(), "bot")
	keyed := publication("order-1", `{}`)
	accept := map[string][]hook.Publication{
		"alone":        {publication("", `1`)},
		"with a key":   {keyed},
		"in a batch":   {publication("", `2`), publication("", `3`)},
		"keyed, batch": {publication("order-2", `4`), publication("", `5`), publication("order-3", `6`)},
		"a message":    {{TenantID: hook.DefaultTenant(), Cache: room().Cache, Type: room().Name, Data: []byte(`"7"`), TokenID: "token"}},
	}
	for name, list := range accept {
		accepted, errs := f.PublishAll(t.Context(), list)
		for i, a := range accepted {
			require.NoError(t, errs[i], name)
			require.NotZero(t, a.Owner, name)
			require.Equal(t, process, f.ownerOf(t, a.Event.ID), name)
			start, ok := a.Start()
			require.True(t, ok, name)
			require.Equal(t, process, start.Owner, name)
		}
	}
	again, err := f.Publish(t.Context(), keyed)
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Zero(t, again.Owner, "the first publish made the attempts")
}

// A store has an owner only if it was given one.
func TestPublishWithoutAnOwner(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fixture{"nil": setup(t), "zero": setupOwned(t, hook.ProcessID{})} {
		f.webhook(t)
		a := f.publish(t, "user.created")
		require.Equal(t, 1, a.Due, name)
		require.Zero(t, a.Owner, name)
		require.Zero(t, f.ownerOf(t, a.Event.ID), name)
	}
}

// The owner is read for each statement: a process that takes itself as dead owns nothing of what it accepts then.
func TestTheOwnerIsReadForEachStatement(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.webhook(t)
	owners := []hook.ProcessID{{1}, {}, {2}}
	var calls int
	f.Store = openOwned(t, f.url, func() hook.ProcessID {
		calls++
		return owners[calls-1]
	})
	for i, owner := range owners {
		a := f.publish(t, "user.created")
		require.Equal(t, i+1, calls)
		require.Equal(t, owner, a.Owner)
		require.Equal(t, owner, f.ownerOf(t, a.Event.ID))
	}
}

// An event that shares a failed statement is stored by a later one, whose owner it has.
func TestARepeatedStatementReadsTheOwnerAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	var calls byte
	f.Store = openOwned(t, f.url, func() hook.ProcessID {
		calls++
		return hook.ProcessID{calls}
	})
	// The statement with both fails, and so does the one with the second.
	f.exec(t, `alter table events add constraint broken check (data <> 'false')`)
	accepted, errs := f.PublishAll(t.Context(), []hook.Publication{publication("", `1`), publication("", `false`)})
	require.NoError(t, errs[0])
	require.Error(t, errs[1])
	require.Greater(t, calls, byte(1))
	require.NotZero(t, accepted[0].Owner)
	require.Zero(t, accepted[1].Owner)
	require.NotZero(t, f.ownerOf(t, accepted[0].Event.ID))
	require.Equal(t, w.ID, accepted[0].Targets[0].WebhookID)
}

// An event with many deliveries goes the regular way, as does one whose deliveries are all deferred or that has none.
func TestEventsWithoutImmediateAttempts(t *testing.T) {
	t.Parallel()
	process := hook.NewProcessID()
	f := setupOwned(t, process)
	for range hook.MaxImmediate {
		f.webhook(t)
	}
	deferred, both := f.webhook(t, events("user.deferred", "user.both")), f.webhook(t, events("user.both"))
	require.NoError(t, f.SetBreaker(t.Context(), deferred.ID, true))

	all := f.publish(t, "user.created")
	require.Equal(t, hook.MaxImmediate, all.Due)
	require.NotZero(t, all.Owner)
	require.Equal(t, process, f.ownerOf(t, all.Event.ID))

	mixed := f.publish(t, "user.both")
	require.Equal(t, 1, mixed.Due)
	require.Equal(t, both.ID, mixed.Targets[0].WebhookID)
	require.NotZero(t, mixed.Owner)

	for _, kind := range []string{"user.deferred", "user.unknown"} {
		a := f.publish(t, kind)
		require.Zero(t, a.Due)
		require.Zero(t, a.Owner, kind)
		require.Zero(t, scalar[int](t, f, `select count(*) from outbox where event_id = $1`, a.Event.ID[:]), kind)
	}

	f.webhook(t)
	many, few := publication("", `1`), publication("", `2`)
	few.Type = "user.both"
	accepted, errs := f.PublishAll(t.Context(), []hook.Publication{many, few})
	require.Equal(t, make([]error, 2), errs)
	require.Equal(t, hook.MaxImmediate+1, accepted[0].Due)
	require.Zero(t, accepted[0].Owner, "one more than are immediate")
	require.Zero(t, f.ownerOf(t, accepted[0].Event.ID))
	require.NotZero(t, accepted[1].Owner, "its neighbour has few")
	require.Equal(t, process, f.ownerOf(t, accepted[1].Event.ID))
}

// Operational events have the owner of the process that records the attempt.
func TestOperationalEventsHaveAnOwner(t *testing.T) {
	t.Parallel()
	process := hook.NewProcessID()
	f := setupOwned(t, process)
	w := f.webhook(t)
	f.operational(t)
	job, err := f.Job(t.Context(), f.delivery(t, w))
	require.NoError(t, err)
	job.Delivery.Scheduled = hook.MaxAttempts - 1
	recorded, err := f.Record(t.Context(), []hook.Record{storagetest.RecordOf(&job, answered(410))})
	require.NoError(t, err)
	require.NotEmpty(t, recorded.Starts)
	for _, start := range recorded.Starts {
		require.NotZero(t, start.Owner, start.EventType)
		require.Equal(t, process, f.ownerOf(t, start.EventID))
	}
}

// older makes events of the outbox d older.
func (f *fixture) older(t *testing.T, d time.Duration, events ...hook.EventID) {
	t.Helper()
	f.exec(t, `update outbox set created_at = created_at - $2::interval where event_id = any($1)`, rawIDs(events), d)
}

func rawIDs(events []hook.EventID) [][16]byte {
	list := make([][16]byte, 0, len(events))
	for _, id := range events {
		list = append(list, id)
	}
	return list
}

// claimAs claims as the process does, and gives the claims back. It returns the starts by event.
func (f *fixture) claimAs(t *testing.T, process hook.ProcessID) map[hook.EventID]hook.Start {
	t.Helper()
	page := f.claim(t, func(c *hook.OutboxClaim) { c.Process, c.Age = process, 5*time.Second })
	require.NoError(t, f.Unclaim(t.Context(), page.Events))
	starts := map[hook.EventID]hook.Start{}
	for _, start := range append(page.Unnamed, slices.Concat(page.Named...)...) {
		if slices.Contains(page.Events, start.EventID) {
			starts[start.EventID] = start
		}
	}
	require.Len(t, starts, len(page.Events))
	return starts
}

// A sweeper leaves the events of a living process alone until they are old, and takes over those of a dead one.
func TestClaimsOfOwnedEvents(t *testing.T) {
	t.Parallel()
	mine := hook.NewProcessID()
	f := setupOwned(t, mine)
	f.webhook(t)
	owned := f.publish(t, "user.created").Event.ID
	theirs := hook.NewProcessID()
	require.NoError(t, f.Heartbeat(t.Context(), mine))
	require.NoError(t, f.Heartbeat(t.Context(), theirs))

	claims := func(as hook.ProcessID, want bool, owner hook.ProcessID, why string) {
		t.Helper()
		start, ok := f.claimAs(t, as)[owned]
		require.Equal(t, want, ok, why)
		require.Equal(t, owner, start.Owner, why)
	}
	none := hook.ProcessID{}
	claims(mine, false, none, "it is too young for all")
	f.older(t, hook.OwnedFor/2, owned)
	claims(mine, true, none, "the owner's own")
	claims(theirs, false, none, "its owner lives")
	claims(none, false, none, "its owner lives, so no other process may claim it")

	f.stall(t, mine, hook.FenceAfter)
	claims(theirs, false, none, "its owner lives still")
	f.stall(t, mine, hook.DeadAfter-hook.FenceAfter)
	claims(theirs, true, none, "its owner is dead")
	claims(mine, true, none, "the owner's own, however late its heartbeat")
	require.NoError(t, f.Heartbeat(t.Context(), mine))
	claims(theirs, false, none, "its owner is back")

	f.older(t, hook.OwnedFor/2, owned)
	claims(theirs, true, mine, "it is old: its owner has not started it, and makes the first attempts all the same")
	claims(mine, true, none, "the owner's own")
	f.stall(t, mine, hook.DeadAfter)
	claims(theirs, true, none, "a dead owner makes no attempts")

	require.NoError(t, f.Heartbeat(t.Context(), mine))
	f.older(t, -hook.OwnedFor/2, owned)
	claims(theirs, false, none, "its owner is back, and it is younger")
	require.NoError(t, f.EndProcess(t.Context(), mine))
	claims(theirs, true, none, "its owner has ended")

	require.NoError(t, f.Heartbeat(t.Context(), mine))
	claims(theirs, false, none, "its owner is back")
	f.exec(t, `update outbox set owner = null where event_id = $1`, owned[:])
	claims(theirs, true, none, "the owner has handed it over")
}

// A page is bounded by what it has looked at: events that a living process owns are passed.
func TestOwnedEventsDoNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	owner := f.living(t)
	owned := f.accept(t, 3)
	free := f.accept(t, 2)
	f.exec(t, `update outbox set owner = $2 where event_id = any($1)`, rawIDs(owned), [16]byte(owner))
	var got []hook.EventID
	var after hook.EventID
	for more := true; more; {
		page := f.claim(t, func(c *hook.OutboxClaim) { c.Limit, c.After, c.Process = 2, after, hook.NewProcessID() })
		got = append(got, page.Events...)
		after, more = page.Last, page.More
	}
	require.Equal(t, free, got)
}

// A claim reads the rows of its page and no others, whether the planner has statistics or not, and so does the look
// for owners.
func TestAClaimReadsItsPage(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	owner := f.living(t)
	const limit = 50
	f.exec(t, `
		with k as (select (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid as id, n from generate_series(1, 20000) n),
		e as (insert into events (id, tenant_id, type, data, deliveries, created_at) select id, $1, 'user.created', '{}', 1, now() from k)
		insert into outbox (event_id, created_at, claimed_until, owner)
		select id, now() - interval '10 seconds', '-infinity', case when n % 2 = 0 then $2::uuid end from k`,
		[16]byte(hook.DefaultTenant()), [16]byte(owner))
	check := func() {
		t.Helper()
		c := hook.OutboxClaim{Age: time.Second, For: time.Minute, Limit: limit, Process: hook.NewProcessID()}
		page := f.claim(t, func(o *hook.OutboxClaim) { *o = c })
		require.Len(t, page.Events, limit/2)
		require.True(t, page.More)
		require.NoError(t, f.Unclaim(t.Context(), page.Events))
		for _, s := range []storage.Statement{storage.Claim(c), storage.Starts(c.Process, page.Events)} {
			plan := explainUnder(t, f, `select`, s)
			reads := plan.of("outbox")
			require.NotEmpty(t, reads)
			for _, n := range reads {
				require.NotEqual(t, "Seq Scan", n.NodeType, s.SQL)
				require.LessOrEqual(t, (n.Rows+n.Removed)*n.Loops, float64(limit), s.SQL)
			}
			for _, n := range plan.of("processes") {
				require.LessOrEqual(t, n.Loops, 1.0, "they are read once")
			}
		}
	}
	check()
	f.exec(t, `analyze outbox, events, processes`)
	check()
}

// The owner is known of all events of a shared workflow, those too that are not claimed or have none.
func TestOwnersInASharedWorkflow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	owner := f.living(t)
	burst := f.accept(t, 3)
	require.Len(t, must(f.ShareWorkflow(t.Context(), "burst", burst)), 3)
	f.exec(t, `update outbox set owner = $2 where event_id = any($1)`, rawIDs(burst[1:]), [16]byte(owner))
	require.NoError(t, f.Started(t.Context(), burst[2:]))

	page := f.claim(t, func(c *hook.OutboxClaim) { c.Process = hook.NewProcessID() })
	require.Equal(t, burst[:1], page.Events, "it has been handed over")
	require.Len(t, page.Named, 1)
	require.Equal(t, burst, startIDs(page.Named[0]))
	var owners []hook.ProcessID
	for _, start := range page.Named[0] {
		owners = append(owners, start.Owner)
	}
	require.Equal(t, []hook.ProcessID{{}, owner, {}}, owners)
	shared := hook.Share("burst", page.Named[0])
	require.Equal(t, owner, shared.Owner)
}

// An older process beside this one writes and claims without owners.
func TestOwnersBesideAnOlderVersion(t *testing.T) {
	t.Parallel()
	mine := hook.NewProcessID()
	f := setupOwned(t, mine)
	f.webhook(t)
	require.NoError(t, f.Heartbeat(t.Context(), mine))
	owned, old := f.publish(t, "user.created").Event.ID, f.publish(t, "user.created").Event.ID
	f.exec(t, `delete from outbox where event_id = $1`, old[:])
	f.exec(t, `insert into outbox (event_id, claimed_until) select $1, '-infinity'`, old[:]) // the older accept's
	require.Zero(t, f.ownerOf(t, old))
	f.older(t, hook.OwnedFor/2, owned, old)
	starts := f.claimAs(t, hook.NewProcessID())
	require.Len(t, starts, 1)
	require.Contains(t, starts, old)
	require.Zero(t, starts[old].Owner)
}
