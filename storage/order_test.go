package storage_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// plans are settings that make the planner choose different plans.
func plans() []string {
	return []string{
		"", "set enable_hashjoin = off", "set enable_mergejoin = off", "set enable_nestloop = off", "set enable_hashagg = off", "set enable_sort = off",
	}
}

// alter changes a setting of the test's database, for new sessions.
func (f *fixture) alter(t *testing.T, setting string) {
	t.Helper()
	if setting != "" {
		f.exec(t, `do $$ begin execute format('alter database %I `+setting+`', current_database()); end $$`)
	}
}

// Design: whatever the plan, a publish locks topics first and drains afterwards, both ordered by id, so that no
// two publishes deadlock.
func TestPublishLocksInOrder(t *testing.T) {
	t.Parallel()
	topics := longtest.Size(3, 6)
	for i, setting := range plans() {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			if i > 0 {
				longtest.Only(t)
			}
			f := setup(t)
			f.alter(t, setting)
			store := open(t, f.url, encryptionKey)
			var list []hook.Publication
			for n := range topics {
				name := "room" + strconv.Itoa(n)
				message(t, f.Store, &hook.Topic{TenantID: hook.DefaultTenant(), Cache: "chat", Name: name}, "first")
				w := f.webhook(t, func(w *hook.Webhook) {
					w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, "chat", name, []string{name}
				})
				f.pause(t, w, true)
				list = append(list, hook.Publication{TenantID: hook.DefaultTenant(), Cache: "chat", Type: name, Data: []byte(`"x"`)})
			}
			f.exec(t, `analyze`)
			// Each topic in turn is locked, and the publish waits for it.
			for n := range topics {
				id := scalar[[16]byte](t, f, `select id from topics order by id offset $1 limit 1`, n)
				letGo := f.holdOpen(t, `select from topics where id = $1 for update`, id)
				done := make(chan []error, 1)
				go func() {
					_, errs := store.PublishAll(t.Context(), list)
					done <- errs
				}()
				f.requireWaiting(t)
				require.Equal(t, n, scalar[int](t, f, `
					with free as (select id from topics for update skip locked) select count(*) from topics where id < $1 and id not in (select id from free)`, id),
					"those before it are locked, %s", setting)
				require.Equal(t, topics-1-n, scalar[int](t, f, `
					with free as (select id from topics for update skip locked) select count(*) from free where id > $1`, id), "those after it are not")
				f.exec(t, `do $$ begin
					set local lock_timeout = '1s'; -- none of them is locked
					insert into drains (webhook_id) select id from webhooks;
					delete from drains;
				end $$`)
				letGo()
				for _, err := range <-done {
					require.NoError(t, err)
				}
				f.exec(t, `delete from drains`)
			}
		})
	}
}

// requireWaiting waits until a session of this database waits for a lock.
func (f *fixture) requireWaiting(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return scalar[bool](t, f, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
	}, 10*time.Second, 5*time.Millisecond)
}

// A publish under keys that are taken reads events and writes deliveries afterwards. Creating and dropping
// partitions at the same time locks these tables in the same order.
func TestRepeatedKeysBesideMaintenance(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.webhook(t)
	_, err := f.Publish(t.Context(), publication("old", `{"id":"user_123"}`))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var publishers errgroup.Group
	var keys atomic.Int64
	for range 8 {
		publishers.Go(func() error {
			for ctx.Err() == nil {
				_, errs := f.PublishAll(t.Context(), []hook.Publication{
					publication("old", `{"id":"user_123"}`), publication(strconv.FormatInt(keys.Add(1), 10), `{}`),
				})
				for _, err := range errs {
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	other := open(t, f.url, encryptionKey)
	for range 10 {
		far := partitionSuffix(t, f, 3)
		// drop_partitions does the same.
		f.exec(t, `do $$ begin perform lock_partitioned_tables(); drop table if exists events_`+far+`, deliveries_`+far+`, attempts_`+far+`, shared_workflows_`+far+`, event_references_`+far+`; end $$`)
		_, err := other.EnsurePartitions(t.Context())
		require.NoError(t, err)
	}
	stop()
	require.NoError(t, publishers.Wait())
}

// A publish locks expired keys in order, and the purge deletes them at the same time: they don't deadlock.
func TestExpiredKeysBesideThePurge(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, key := range []string{"a", "b"} {
		_, err := f.Publish(t.Context(), publication(key, `1`))
		require.NoError(t, err)
	}
	f.exec(t, `update idempotency_keys set expires_at = now() - interval '1 s'`)
	f.holdOpen(t, `select from idempotency_keys where key = 'a' for update`)
	purged, err := f.PurgeIdempotencyKeys(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, purged)
	require.Equal(t, "a", scalar[string](t, f, `select key from idempotency_keys`))
}

// S8: two publishes with one key share a transaction, and the first one's API key is revoked between two of its
// statements. Neither is told that an event is stored if it is not.
func TestPublishAllWhoseFirstIsRefusedInTheEnd(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	revoked, good := hook.Secret("gk_revoked_in_between"), hook.Secret("gk_good")
	for _, text := range []hook.Secret{revoked, good} {
		_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "k", Scopes: []hook.Scope{hook.ScopePublish}}, text)
		require.NoError(t, err)
	}
	// Stands for a commit of another session between the check of the preconditions and the insert.
	f.exec(t, `create function revoke() returns trigger language plpgsql as $$
		begin update api_keys set revoked_at = now() where hash = sha256('gk_revoked_in_between'); return null; end $$`)
	f.exec(t, `create trigger revoke after insert on idempotency_keys for each statement execute function revoke()`)
	of := func(text hook.Secret) hook.Publication {
		p := publication("order-7", `{"id":"user_123"}`)
		p.Preconditions = hook.Preconditions{Key: hook.HashKey(text)}
		return p
	}
	accepted, errs := f.PublishAll(t.Context(), []hook.Publication{of(revoked), of(good)})
	for i := range errs {
		requireKind(t, hook.KindPrecondition, errs[i])
		require.Zero(t, accepted[i])
	}
	require.Zero(t, scalar[int](t, f, `select count(*) from idempotency_keys`), "the key is nobody's")
	a, err := f.Publish(t.Context(), of(good)) // the API tries again like this after a refusal
	require.NoError(t, err)
	require.False(t, a.Duplicate)
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from events where id = $1`, [16]byte(a.Event.ID)))
}

// The clean-up locks the tables in the order in which dropping a day does: while it waits for one of them, it
// holds no lock on a later one.
func TestCleaningLocksInOrder(t *testing.T) {
	t.Parallel()
	behind := map[string][]string{"events": {"deliveries", "events"}, "shared_workflows": {"events", "shared_workflows"}, "attempts": {"attempts", "deliveries"}}
	for base, tables := range behind {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			letGo := f.holdOpen(t, `lock table `+tables[0]+` in access exclusive mode`)
			done := make(chan error, 1)
			go func() {
				_, err := f.db.Exec(t.Context(), `select clean_page($1, '00000000-0000-0000-0000-000000000000', now(), 100)`, base)
				done <- err
			}()
			f.requireWaiting(t)
			f.exec(t, `do $$ begin lock table `+tables[1]+` in access exclusive mode nowait; end $$`)
			letGo()
			require.NoError(t, <-done)
		})
	}
}
