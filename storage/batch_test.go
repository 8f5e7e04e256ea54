package storage_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// requireConflict checks that the publish failed because its idempotency key is taken.
func requireConflict(t *testing.T, accepted hook.Accepted, err error) {
	t.Helper()
	requireKind(t, hook.KindConflict, err)
	require.Zero(t, accepted, "nothing of it was stored, and nothing of the holder is told")
}

// S9: each event's result is at the event's index, with the event's own deliveries.
func TestPublishAll(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	all, created := f.webhook(t, events("*")), f.webhook(t, events("user.created"))
	theirs := f.webhook(t, ofTenant(other), events("*"))
	publications := []hook.Publication{
		publication("", `0`),
		{TenantID: hook.DefaultTenant(), Type: "user.deleted", Data: []byte(`1`), OrganizationID: "acme"},
		publication("order-1", `2`),
		{TenantID: other, Type: "user.created", Data: []byte(`3`), IdempotencyKey: "order-1"},
		publication("", `4`),
	}
	accepted, errs := f.PublishAll(t.Context(), publications)
	require.Equal(t, make([]error, len(publications)), errs)
	targets := [][]hook.WebhookID{{all.ID, created.ID}, {all.ID}, {all.ID, created.ID}, {theirs.ID}, {all.ID, created.ID}}
	for i, a := range accepted {
		require.False(t, a.Duplicate)
		read, err := f.Event(t.Context(), publications[i].TenantID, a.Event.ID)
		require.NoError(t, err)
		require.Equal(t, a.Event, read)
		require.Equal(t, strconv.Itoa(i), string(read.Data))
		require.Equal(t, publications[i].OrganizationID, read.OrganizationID)
		require.Equal(t, len(targets[i]), read.Deliveries)
		var got []hook.WebhookID
		for _, target := range a.Targets {
			got = append(got, target.WebhookID)
		}
		require.ElementsMatch(t, targets[i], got)
	}
	require.Equal(t, 8, scalar[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, 5, scalar[int](t, f, `select count(*) from outbox`))

	accepted, errs = f.PublishAll(t.Context(), nil)
	require.Empty(t, accepted)
	require.Empty(t, errs)
}

// S9: an event that can't be stored fails alone, and its key stays free. The next event with that key takes it, as
// if the two had been published one after the other.
func TestPublishAllWithOneThatFails(t *testing.T) {
	t.Parallel()
	const check = `alter table events add constraint fails check (data <> '"bad"')`
	const atCommit = `
		create function fail() returns trigger language plpgsql as $$ begin raise exception 'bad'; end $$;
		create constraint trigger fails after insert on events deferrable initially deferred
			for each row when (new.data = '"bad"') execute function fail()`
	for name, c := range map[string]struct{ key, refuse string }{
		"without key": {"", check}, "with a key": {"order-1", check}, "at the commit": {"order-1", atCommit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.webhook(t)
			key := c.key
			f.exec(t, c.refuse)
			accepted, errs := f.PublishAll(t.Context(), []hook.Publication{
				publication("order-0", `0`), publication(key, `"bad"`), publication("", `2`), publication(key, `3`), publication(key, `"bad"`),
			})
			for _, i := range []int{0, 2, 3} {
				require.NoError(t, errs[i])
				require.False(t, accepted[i].Duplicate)
				require.Equal(t, 1, accepted[i].Event.Deliveries)
				require.Len(t, accepted[i].Targets, 1, "once, however often it was tried")
				require.Equal(t, strconv.Itoa(i), string(accepted[i].Event.Data))
			}
			requireKind(t, hook.KindInternal, errs[1])
			require.Zero(t, accepted[1])
			if key == "" {
				requireKind(t, hook.KindInternal, errs[4])
			} else {
				requireConflict(t, accepted[4], errs[4])
			}
			require.Equal(t, 3, scalar[int](t, f, `select count(*) from events`))
			require.Equal(t, 3, scalar[int](t, f, `select count(*) from deliveries`))
			require.Equal(t, 3, scalar[int](t, f, `select count(*) from outbox`))
		})
	}
}

// S8, S9: a key that occurs twice in a list belongs to its first event, and a key from an earlier request to its
// earlier event.
func TestPublishAllWithKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	other := f.tenant(t, "other")
	theirs := publication("held", `9`)
	theirs.TenantID = other
	held, err := f.Publish(t.Context(), publication("held", `0`))
	require.NoError(t, err)

	accepted, errs := f.PublishAll(t.Context(), []hook.Publication{
		publication("new", `1`),  // stored
		publication("held", `0`), // same as the earlier event
		publication("new", `1`),  // same as the first
		publication("new", `2`),  // differs from the first
		publication("held", `3`), // differs from the earlier event
		publication("held", `0`), // same as the earlier event, although the item before this one differs
		theirs,                   // another tenant's key is another key
		publication("new", `1`),  // same as the first, although the item with key new before it differs
	})
	for _, i := range []int{0, 6} {
		require.NoError(t, errs[i])
		require.False(t, accepted[i].Duplicate)
		require.Len(t, accepted[i].Targets, 1-i/6)
	}
	for i, first := range map[int]hook.Event{1: held.Event, 5: held.Event, 2: accepted[0].Event, 7: accepted[0].Event} {
		require.NoError(t, errs[i])
		require.Equal(t, hook.Accepted{Event: first, Duplicate: true}, accepted[i], "the same answer")
	}
	requireConflict(t, accepted[3], errs[3])
	requireConflict(t, accepted[4], errs[4])
	require.Equal(t, 3, scalar[int](t, f, `select count(*) from events`))
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, 3, scalar[int](t, f, `select count(*) from idempotency_keys`))

	// S8: a key is valid for 24 hours.
	f.exec(t, `update idempotency_keys set expires_at = now() where key = 'held'`)
	accepted, errs = f.PublishAll(t.Context(), []hook.Publication{publication("held", `3`), publication("held", `0`), publication("new", `1`)})
	require.NoError(t, errs[0])
	require.False(t, accepted[0].Duplicate)
	requireConflict(t, accepted[1], errs[1])
	require.True(t, accepted[2].Duplicate)
}

// A key is free again once its event's partition was dropped.
func TestPublishAllWithAKeyWhoseEventIsGone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, err := f.Publish(t.Context(), publication("gone", `0`))
	require.NoError(t, err)
	f.exec(t, `delete from events`)
	accepted, errs := f.PublishAll(t.Context(), []hook.Publication{publication("a", `1`), publication("gone", `0`), publication("", `2`)})
	for i := range errs {
		require.NoError(t, errs[i])
		require.False(t, accepted[i].Duplicate)
	}
	require.Equal(t, 3, scalar[int](t, f, `select count(*) from events`))
}

// S8: processes that publish the same keys at the same time, in any order, store one event for each key and don't
// deadlock: a deadlock would be an error here.
func TestPublishAllUnderConcurrentPublishers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	second := open(t, f.url, encryptionKey)
	const publishers, keys = 30, 20
	var (
		g      errgroup.Group
		mu     sync.Mutex
		firsts = map[string]int{}
		ids    = map[string]map[hook.EventID]bool{}
	)
	for i := range publishers {
		g.Go(func() error {
			var list []hook.Publication
			for _, n := range rand.Perm(keys)[:keys*3/4] {
				key := strconv.Itoa(n)
				list = append(list, publication(key, key))
				if n%4 == i%4 { // topics are locked, too
					list = append(list, hook.Publication{TenantID: hook.DefaultTenant(), Cache: "chat", Type: "room" + strconv.Itoa(n%3), Data: []byte(`"x"`)})
				}
			}
			store := f.Store
			if i%2 == 1 {
				store = second
			}
			accepted, errs := store.PublishAll(t.Context(), list)
			mu.Lock()
			defer mu.Unlock()
			for n, a := range accepted {
				key := list[n].IdempotencyKey
				if errs[n] != nil {
					return fmt.Errorf("key %q: %w", key, errs[n])
				}
				if key == "" {
					continue
				}
				if ids[key] == nil {
					ids[key] = map[hook.EventID]bool{}
				}
				ids[key][a.Event.ID] = true
				if !a.Duplicate {
					firsts[key]++
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Len(t, ids, keys)
	for key := range ids {
		require.Len(t, ids[key], 1)
		require.Equal(t, 1, firsts[key])
	}
	require.Equal(t, keys, scalar[int](t, f, `select count(*) from events where cache = ''`))
	require.Equal(t, keys, scalar[int](t, f, `select count(*) from deliveries`))
}

// M6: a list's messages are numbered in the list's order, per topic, also if the list takes several statements.
func TestPublishAllNumbersMessages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	message(t, f.Store, room(), "before")
	var list []hook.Publication
	next := map[string]int64{"room": 2, "hall": 1}
	var want []int64
	for i := range 1200 {
		p := hook.Publication{TenantID: hook.DefaultTenant(), Cache: "chat", Type: "room", Data: []byte(strconv.Quote(strconv.Itoa(i)))}
		switch i % 3 {
		case 1:
			p.Type = "hall"
		case 2:
			p = publication("", `1`) // an event without a topic
		}
		list = append(list, p)
		want = append(want, next[p.Type])
		if next[p.Type] > 0 {
			next[p.Type]++
		}
	}
	accepted, errs := f.PublishAll(t.Context(), list)
	require.Equal(t, make([]error, len(list)), errs)
	for i, a := range accepted {
		require.Equal(t, want[i], a.Event.Sequence, "place %d", i)
	}
	m := f.messages(t, from(room(), 2))
	require.Equal(t, next["room"]-1, m.Last)
	for i, message := range m.List {
		require.Equal(t, strconv.Quote(strconv.Itoa(3*i)), string(message.Text))
	}
}

// S9: publishing a list has the same results as publishing its events one by one.
func TestPublishAllIsPublishOneByOne(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	drawn := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) hook.Publication {
		return publication(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key"), rapid.SampledFrom([]string{`1`, `2`, `"bad"`}).Draw(t, "data"))
	}), 1, 8)
	f.exec(t, `alter table events add constraint fails check (data <> '"bad"')`)
	rounds := 0
	rapid.Check(t, func(t *rapid.T) {
		rounds++
		// outcome is the result of one publication, and the index of the publication that stored its event.
		type outcome struct {
			kind      hook.Kind
			duplicate bool
			first     int
		}
		outcomes := func(accepted []hook.Accepted, errs []error) (list []outcome) {
			for i := range accepted {
				o := outcome{duplicate: accepted[i].Duplicate, first: -1}
				if errs[i] != nil {
					o.kind = hook.KindOf(errs[i])
				} else {
					o.first = slices.IndexFunc(accepted, func(a hook.Accepted) bool { return a.Event.ID == accepted[i].Event.ID })
				}
				list = append(list, o)
			}
			return list
		}
		together, alone := hook.TenantID{1, 15: byte(rounds)}, hook.TenantID{2, 15: byte(rounds)}
		together[14], alone[14] = byte(rounds>>8), byte(rounds>>8)
		for _, tenant := range []hook.TenantID{together, alone} {
			_, err := f.db.Exec(t.Context(), `insert into tenants (id, name) values ($1, $2)`, [16]byte(tenant), fmt.Sprintf("%x", tenant))
			require.NoError(t, err)
		}
		var got, want []outcome
		var accepted []hook.Accepted
		var errs []error
		list := drawn.Draw(t, "list")
		for i := range list {
			list[i].TenantID = alone
			a, err := f.Publish(t.Context(), list[i])
			accepted, errs = append(accepted, a), append(errs, err)
		}
		want = outcomes(accepted, errs)
		for i := range list {
			list[i].TenantID = together
		}
		// The list is published in two parts, so that the second part meets keys of the first.
		cut := rapid.IntRange(0, len(list)).Draw(t, "cut")
		accepted, errs = f.PublishAll(t.Context(), list[:cut])
		more, moreErrs := f.PublishAll(t.Context(), list[cut:])
		got = outcomes(append(accepted, more...), append(errs, moreErrs...))
		require.Equal(t, want, got)
	})
}
