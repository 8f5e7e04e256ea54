package storage_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// publication returns an event of the default tenant with an idempotency key.
func publication(key, data string) hook.Publication {
	return hook.Publication{
		TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(data), IdempotencyKey: key,
	}
}

// S8: an event gets one delivery for each active webhook that matches when it is published, however many of the
// webhook's patterns match.
func TestPublishMakesOneDeliveryPerMatchingWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	want := []hook.WebhookID{
		f.webhook(t, events("user.created")).ID,
		f.webhook(t, events("user.*")).ID,
		f.webhook(t, events("*")).ID,
		f.webhook(t, events("user.created", "user.*", "*")).ID,
		f.webhook(t, events("user.created"), func(w *hook.Webhook) { w.Profile = hook.ProfileCommenda }).ID,
	}
	f.webhook(t, events("user.deleted"))
	f.webhook(t, events("users.*", "user.created.*", "created"))
	f.webhook(t, events("user.created"), inactive)

	a := f.publish(t, "user.created")
	require.False(t, a.Duplicate)
	require.Equal(t, len(want), a.Event.Deliveries)
	require.Equal(t, a.Event.ID.String(), a.Event.WorkflowID)
	require.Len(t, a.Targets, len(want))

	list, err := f.DeliveriesOfEvent(t.Context(), a.Event.ID, 100)
	require.NoError(t, err)
	var got []hook.WebhookID
	for _, d := range list {
		got = append(got, d.WebhookID)
		require.Equal(t, hook.StatePending, d.State)
		require.True(t, d.Outstanding())
		require.Equal(t, "user.created", d.EventType)
		require.Zero(t, d.Attempts)
	}
	require.ElementsMatch(t, want, got)
}

// Spec 0: the body is stored as bytes and read back unchanged.
func TestPublishKeepsTheBytes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := []byte(`{"n":1e+21,"s":"\u0000<&>é😀","a":{"a":1,"a ":2}}`)
	a, err := f.Publish(t.Context(), hook.Publication{
		TenantID: hook.DefaultTenant(), Type: "user.created", Data: data, OrganizationID: "c2710df6",
	})
	require.NoError(t, err)
	read, err := f.Event(t.Context(), hook.DefaultTenant(), a.Event.ID)
	require.NoError(t, err)
	require.Equal(t, data, read.Data)
	require.Equal(t, a.Event, read)
	require.Equal(t, a.Event.ID.Time(), read.CreatedAt, "the id carries the time")
}

// S8: an event without a match is accepted. There is no workflow to start for it.
func TestPublishWithoutMatchWaitsForNoWorkflow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.publish(t, "user.created")
	require.Zero(t, a.Event.Deliveries)
	require.Empty(t, a.Event.WorkflowID)
	require.Empty(t, a.Targets)
	require.Zero(t, scalar[int](t, f, `select count(*) from outbox`))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from events`))
}

// Every delivery of a wide fan-out is created, and at most 50 targets are named.
func TestPublishToMoreWebhooksThanItNames(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const webhooks = 60
	for range webhooks {
		f.webhook(t, func(w *hook.Webhook) { w.URL = "https://example.com:8443/x" })
	}
	a := f.publish(t, "user.created")
	require.Equal(t, webhooks, a.Event.Deliveries)
	require.Len(t, a.Targets, hook.MaxTargets)
	require.Equal(t, "example.com:8443", a.Targets[0].Host)
	require.Equal(t, webhooks, scalar[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from outbox`))
}

// Spec 11: an event and its deliveries are in the same day's partitions, and the deliveries' ids are next to the
// event's.
func TestPublishPutsDeliveriesBesideTheirEvent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 5 {
		f.webhook(t)
	}
	for range 3 {
		a := f.publish(t, "user.created")
		list, err := f.DeliveriesOfEvent(t.Context(), a.Event.ID, 100)
		require.NoError(t, err)
		require.Len(t, list, 5)
		for _, d := range list {
			require.Equal(t, a.Event.ID[:8], d.ID[:8])
			require.Equal(t, byte(0x70), d.ID[6]&0xf0, "a UUIDv7")
			require.Equal(t, byte(0x80), d.ID[8]&0xc0, "of RFC 9562's variant")
		}
		day := strings.TrimPrefix(scalar[string](t, f, `select tableoid::regclass::text from events where id = $1`, a.Event.ID[:]), "events_")
		require.Equal(t, a.Event.CreatedAt.Format("20060102"), day)
		require.Equal(t, "deliveries_"+day,
			scalar[string](t, f, `select string_agg(distinct tableoid::regclass::text, ' ') from deliveries where event_id = $1`, a.Event.ID[:]))
	}
}

// S8: the same key and content get the same answer. Other content is a conflict.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	first, err := f.Publish(t.Context(), publication("order-1", `{"n":1}`))
	require.NoError(t, err)
	require.False(t, first.Duplicate)
	require.Equal(t, 1, first.Event.Deliveries)

	again, err := f.Publish(t.Context(), publication("order-1", `{"n":1}`))
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, first.Event, again.Event, "the same answer")
	require.Empty(t, again.Targets)

	for name, change := range map[string]func(*hook.Publication){
		"other data":         func(p *hook.Publication) { p.Data = []byte(`{"n":2}`) },
		"other type":         func(p *hook.Publication) { p.Type = "user.updated" },
		"other organization": func(p *hook.Publication) { p.OrganizationID = "acme" },
	} {
		p := publication("order-1", `{"n":1}`)
		change(&p)
		_, err := f.Publish(t.Context(), p)
		require.Equal(t, hook.KindConflict, hook.KindOf(err), name)
	}

	p := publication("order-1", `{"n":3}`)
	p.TenantID = f.tenant(t, "other")
	foreign, err := f.Publish(t.Context(), p)
	require.NoError(t, err)
	require.False(t, foreign.Duplicate, "another tenant's key is another key")
	require.NotEqual(t, first.Event.ID, foreign.Event.ID)

	require.Equal(t, 2, scalar[int](t, f, `select count(*) from events`))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from deliveries`))
}

// S8: a key is valid for 24 hours.
func TestIdempotencyKeyIsFreeAfter24Hours(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first, err := f.Publish(t.Context(), publication("order-1", `{"n":1}`))
	require.NoError(t, err)
	left := scalar[float64](t, f, `select extract(epoch from expires_at - now())::float8 from idempotency_keys`)
	require.InDelta(t, (24 * time.Hour).Seconds(), left, 60)

	f.exec(t, `update idempotency_keys set expires_at = now()`)
	second, err := f.Publish(t.Context(), publication("order-1", `{"n":2}`))
	require.NoError(t, err)
	require.False(t, second.Duplicate)
	require.NotEqual(t, first.Event.ID, second.Event.ID)

	third, err := f.Publish(t.Context(), publication("order-1", `{"n":2}`))
	require.NoError(t, err)
	require.True(t, third.Duplicate, "the second holds the key now")
	require.Equal(t, second.Event.ID, third.Event.ID)
}

// S8: publishers that retry at the same time with one key store one event.
func TestIdempotencyKeyUnderConcurrentPublishers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	var (
		g      errgroup.Group
		mu     sync.Mutex
		firsts int
		ids    = map[hook.EventID]bool{}
	)
	for range 20 {
		g.Go(func() error {
			a, err := f.Publish(t.Context(), publication("order-1", `{"n":1}`))
			mu.Lock()
			defer mu.Unlock()
			ids[a.Event.ID] = true
			if !a.Duplicate {
				firsts++
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.Len(t, ids, 1)
	require.Equal(t, 1, firsts)
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from events`))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from outbox`))
}

func TestPurgeIdempotencyKeysDeletesTheExpired(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, key := range []string{"a", "b", "c"} {
		_, err := f.Publish(t.Context(), publication(key, `{}`))
		require.NoError(t, err)
	}
	f.exec(t, `update idempotency_keys set expires_at = now() - interval '1 second' where key <> 'b'`)
	n, err := f.PurgeIdempotencyKeys(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, "b", scalar[string](t, f, `select string_agg(key, '') from idempotency_keys`))
}

// Spec 6: a publish that fails stores nothing. An event, its delivery rows, its outbox row and its key are stored
// together or not at all.
func TestPublishFailsAsAWhole(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"events", "deliveries", "outbox"} {
		t.Run("when "+table+" refuses", func(t *testing.T) {
			t.Parallel()
			if table != "outbox" {
				longtest.Only(t)
			}
			f := setup(t)
			f.webhook(t)
			f.exec(t, `alter table `+table+` add constraint broken check (false)`)
			for _, key := range []string{"", "order-1"} {
				_, err := f.Publish(t.Context(), publication(key, `{}`))
				requireKind(t, hook.KindInternal, err)
				for _, left := range []string{"events", "deliveries", "outbox", "idempotency_keys"} {
					require.Zero(t, scalar[int](t, f, `select count(*) from `+left), "%s, key %q", left, key)
				}
			}
			f.exec(t, `alter table `+table+` drop constraint broken`)
			a, err := f.Publish(t.Context(), publication("order-1", `{}`))
			require.NoError(t, err)
			require.False(t, a.Duplicate, "the failed publish did not take the key")
			require.Equal(t, 1, a.Event.Deliveries)
		})
	}
}

// S11: a test is an event with one delivery, marked as a test, without an outbox row. It also works for an
// inactive webhook, and is not listed among the events.
func TestCreateTest(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, other := f.webhook(t, inactive), f.webhook(t)
	d, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{"a":1}`)})
	require.NoError(t, err)
	require.True(t, d.Test)
	require.Equal(t, w.ID, d.WebhookID)

	read := f.read(t, d.ID)
	require.Equal(t, hook.StatePending, read.State)
	require.True(t, read.Test)
	job, err := f.Job(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, []byte(`{"a":1}`), job.Event.Data)
	require.True(t, job.Event.Test)
	require.Empty(t, job.Event.WorkflowID)
	require.Empty(t, job.Canceled())

	require.Zero(t, scalar[int](t, f, `select count(*) from outbox`))
	list, _, err := f.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), hook.EventFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
	log, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, log, 1, "it is logged")
	log, _, err = f.Deliveries(t.Context(), other.ID, hook.DeliveryFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, log)
}

// S11: a test that could not be sent leaves nothing in the store. One that was sent stays.
func TestDropTest(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	unsent, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	sent, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	f.attempt(t, sent.ID, answered(200))
	ordinary := f.read(t, f.delivery(t, w))

	for _, d := range []hook.Delivery{unsent, sent, ordinary} {
		require.NoError(t, f.DropTest(t.Context(), d))
	}
	_, err = f.Delivery(t.Context(), hook.DefaultTenant(), unsent.ID)
	requireKind(t, hook.KindNotFound, err)
	_, err = f.Event(t.Context(), hook.DefaultTenant(), unsent.EventID)
	requireKind(t, hook.KindNotFound, err)
	f.read(t, sent.ID)
	f.read(t, ordinary.ID)
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from events`))
}

// S11: dropping a test and sending it exclude each other, so that each request that is made has a delivery in the
// store.
func TestDropTestAgainstItsSender(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	test := func() hook.Delivery {
		return must(f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)}))
	}
	begun := test()
	require.True(t, must(f.BeginTest(t.Context(), begun.ID, hook.Claim{1})))
	require.NoError(t, f.DropTest(t.Context(), begun))
	f.read(t, begun.ID)
	dropped := test()
	require.NoError(t, f.DropTest(t.Context(), dropped))
	require.False(t, must(f.BeginTest(t.Context(), dropped.ID, hook.Claim{1})))
	ordinary := f.delivery(t, w)
	require.False(t, must(f.BeginTest(t.Context(), ordinary, hook.Claim{1})), "it is no test")

	for range 20 {
		d := test()
		var group errgroup.Group
		var begun bool
		group.Go(func() (err error) {
			begun, err = f.BeginTest(t.Context(), d.ID, hook.Claim{1})
			return err
		})
		group.Go(func() error { return f.DropTest(t.Context(), d) })
		require.NoError(t, group.Wait())
		require.Equal(t, begun, scalar[bool](t, f, `select exists (select from deliveries where id = $1)`, d.ID[:]))
	}
}

// Ids that one process makes are in order of creation. Listing newest first relies on that.
func TestEventIDsAreInOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var ids []string
	for range 20 {
		ids = append(ids, f.publish(t, "user.created").Event.ID.String())
	}
	require.True(t, slices.IsSorted(ids))
	require.Len(t, slices.Compact(ids), 20)
}

// S11: a test whose sender has died ends as canceled, so that no client waits for it for ever. A test that is
// being sent is left alone.
func TestStaleTestsAreCanceled(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	stale, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	young, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	f.exec(t, `update deliveries set next_attempt_at = now() - interval '10 minutes' where id = $1`, stale.ID[:])
	require.NoError(t, f.CancelStaleTests(t.Context(), 2*time.Minute))
	require.Equal(t, hook.StateCanceled, f.read(t, stale.ID).State)
	require.Equal(t, hook.StatePending, f.read(t, young.ID).State)
}

// Spec 1: Commenda's topics are free-form strings: a star in one is a literal star.
func TestCommendaTopicsAreNoPatterns(t *testing.T) {
	t.Parallel()
	f := setup(t)
	star := f.webhook(t, func(w *hook.Webhook) { w.Profile, w.Events = hook.ProfileCommenda, []string{"*", "user.*"} })
	exact := f.webhook(t, func(w *hook.Webhook) { w.Profile, w.Events = hook.ProfileCommenda, []string{"user.created"} })
	accepted := f.publish(t, "user.created")
	require.Equal(t, 1, accepted.Event.Deliveries)
	require.Equal(t, exact.ID, accepted.Targets[0].WebhookID)
	others, err := f.NotDeliveredTo(t.Context(), accepted.Event, 10)
	require.NoError(t, err)
	require.Equal(t, []hook.NotDelivered{{WebhookID: star.ID, Reason: "not subscribed"}}, others)
	list, _, err := f.Webhooks(t.Context(), hook.DefaultTenant(), hook.WebhookFilter{Event: "user.created"}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, exact.ID, list[0].ID)
}

// An event that can't be stored fails none of the events that share its transaction, and takes no number.
func TestPublishTogetherWithOneThatFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.exec(t, `alter table events add constraint fails check (data <> '"bad"')`)
	const publishers = 40
	var group errgroup.Group
	refused := make([]bool, publishers)
	for i := range publishers {
		group.Go(func() error {
			for n := range 10 {
				p := hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`"good"`)}
				if i%2 == 1 {
					p.Type, p.Cache = "room", "chat"
				}
				bad := i%4 < 2 && n == 5
				if bad {
					p.Data = []byte(`"bad"`)
				}
				_, err := f.Publish(t.Context(), p)
				if !bad && err != nil {
					return err
				}
				refused[i] = refused[i] || err != nil
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	for i, r := range refused {
		require.Equal(t, i%4 < 2, r)
	}
	require.Equal(t, publishers*10-publishers/2, scalar[int](t, f, `select count(*) from events`))
	require.Equal(t, publishers/2*10-publishers/4, scalar[int](t, f, `select count(*) from deliveries where webhook_id = $1`, [16]byte(w.ID)))
	m := f.messages(t, from(room(), 1))
	require.Len(t, m.List, publishers/2*10-publishers/4)
	for i, message := range m.List {
		require.Equal(t, int64(i+1), message.Sequence)
	}
}

// Each event of a shared transaction has its own deliveries and its own result.
func TestPublishTogetherKeepsEventsApart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	all := f.webhook(t, events("*"))
	created := f.webhook(t, events("user.created", "user.*"))
	theirs := f.webhook(t, ofTenant(other), events("*"))
	want := map[string][]hook.WebhookID{"user.created": {all.ID, created.ID}, "user.deleted": {all.ID, created.ID}, "payment.failed": {all.ID}}
	var group errgroup.Group
	for range 20 {
		for eventType, targets := range want {
			group.Go(func() error {
				a, err := f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: eventType, Data: []byte(strconv.Quote(eventType))})
				if err != nil {
					return err
				}
				var got []hook.WebhookID
				for _, target := range a.Targets {
					got = append(got, target.WebhookID)
				}
				slices.SortFunc(got, func(x, y hook.WebhookID) int { return bytes.Compare(x[:], y[:]) })
				if !slices.Equal(targets, got) || a.Event.Deliveries != len(targets) {
					return fmt.Errorf("%s: %d deliveries to %v", eventType, a.Event.Deliveries, got)
				}
				return nil
			})
			group.Go(func() error {
				a, err := f.Publish(t.Context(), hook.Publication{TenantID: other, Type: eventType, Data: []byte(`1`)})
				if err == nil && (len(a.Targets) != 1 || a.Targets[0].WebhookID != theirs.ID) {
					err = fmt.Errorf("%v", a.Targets)
				}
				return err
			})
		}
	}
	require.NoError(t, group.Wait())
	require.Zero(t, scalar[int](t, f, `select count(*) from deliveries d join events e on e.id = d.event_id where e.type <> d.event_type or e.tenant_id <> d.tenant_id`))
	require.Equal(t, 20*(5+3), scalar[int](t, f, `select count(*) from deliveries`))
}
