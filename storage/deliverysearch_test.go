package storage_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage"
)

// referring publishes an event with references.
func (f *fixture) referring(t *testing.T, eventType string, references ...string) hook.Accepted {
	t.Helper()
	a, err := f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: eventType, Data: eventData(), References: references})
	require.NoError(t, err)
	return a
}

// A1: an event is found by each of its references, and shows them. An event without references writes none.
func TestReferences(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	var orders []hook.Event
	for i := range 7 {
		f.publish(t, "user.created")
		orders = append(orders, f.referring(t, "user.created", "order_1", fmt.Sprint("line_", i)).Event)
	}
	other := f.referring(t, "user.deleted", "order_1").Event
	slices.Reverse(orders)
	require.Equal(t, 15, scalar[int](t, f, `select count(*) from event_references`))

	find := func(filter hook.EventFilter) func(hook.Page) ([]hook.Event, *[16]byte, error) {
		return func(p hook.Page) ([]hook.Event, *[16]byte, error) {
			p.Bytes = 1 << 20
			return f.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), filter, p)
		}
	}
	for _, limit := range []int{1, 3, 8, 100} {
		require.Equal(t, append([]hook.Event{other}, orders...), every(t, limit, find(hook.EventFilter{Reference: "order_1"})))
		require.Equal(t, orders, every(t, limit, find(hook.EventFilter{Reference: "order_1", Type: "user.created"})))
	}
	require.Equal(t, orders[6:], every(t, 10, find(hook.EventFilter{Reference: "line_0"})))
	require.Empty(t, every(t, 10, find(hook.EventFilter{Reference: "line"})))
	page, _, err := f.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), hook.EventFilter{Reference: "order_1"},
		hook.Page{Limit: 10, Since: orders[2].CreatedAt, Until: orders[1].CreatedAt, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, orders[2:3], page)
	list, _, err := f.Events(t.Context(), hook.OneTenant(f.tenant(t, "other")), hook.EventFilter{Reference: "order_1"}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list, "another tenant's")

	e, err := f.Event(t.Context(), hook.DefaultTenant(), orders[6].ID)
	require.NoError(t, err)
	require.Equal(t, []string{"order_1", "line_0"}, e.References)
	e, err = f.Event(t.Context(), hook.DefaultTenant(), f.publish(t, "user.created").Event.ID)
	require.NoError(t, err)
	require.Nil(t, e.References)
}

// A1, S8: references are part of an event's content.
func TestReferencesUnderAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	publish := func(data string, references ...string) (hook.Accepted, error) {
		return f.Publish(t.Context(), hook.Publication{
			TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(data), IdempotencyKey: "key", References: references,
		})
	}
	first, err := publish(`{"a":1,"b":2}`, "order_1", "cus_9")
	require.NoError(t, err)
	again, err := publish(`{"b":2,"a":1}`, "order_1", "cus_9")
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, first.Event.ID, again.Event.ID)
	require.Equal(t, first.Event.References, again.Event.References)
	for _, others := range [][]string{nil, {"order_1"}, {"cus_9", "order_1"}} {
		_, err = publish(`{"a":1,"b":2}`, others...)
		requireKind(t, hook.KindConflict, err)
	}
}

// oldestFirst returns the deliveries that a search finds, page by page from the oldest on.
func (f *fixture) oldestFirst(t *testing.T, limit int, s hook.DeliverySearch) []hook.DeliveryID {
	t.Helper()
	ids := []hook.DeliveryID{}
	for p := (hook.Page{Limit: limit}); ; {
		page, next, err := f.FindOldestFirst(t.Context(), hook.DefaultTenant(), s, p)
		require.NoError(t, err)
		for i := range page {
			ids = append(ids, page[i].ID)
		}
		if next == nil {
			return ids
		}
		if p.Before != nil {
			require.Positive(t, bytes.Compare(next[:], p.Before[:]), "it leads on")
		}
		p.Before = next
	}
}

// searched is a delivery as a test of searches knows it.
type searched struct {
	hook.Delivery
	class      hook.ErrorClass
	references []string
}

// matches says what a search must find, on its own terms.
func (d *searched) matches(s *hook.DeliverySearch) bool {
	state := d.State
	if state == hook.StateSending {
		state = hook.StatePending
	}
	unsuccessful := state != hook.StateSuccess && state != hook.StatePending
	return (s.WebhookID == hook.WebhookID{} || s.WebhookID == d.WebhookID) &&
		(len(s.States) == 0 || slices.Contains(s.States, state)) &&
		(s.StatusClass == 0 || d.StatusCode/100 == s.StatusClass && (s.StatusClass == 2) == (state == hook.StateSuccess)) &&
		(s.Class == hook.ClassNone || d.class == s.Class && unsuccessful) &&
		(s.EventType == "" || s.EventType == "*" || s.EventType == d.EventType || s.EventType == "user.*" && strings.HasPrefix(d.EventType, "user.")) &&
		(s.Reference == "" || slices.Contains(d.references, s.Reference)) &&
		(s.Final == nil || *s.Final == (d.NextAttemptAt == nil)) &&
		(!s.Undelivered || unsuccessful && d.NextAttemptAt == nil)
}

// A2: a search finds what its conditions say, whichever index it uses, in pages of every size.
func TestFindDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	stranger := f.tenant(t, "stranger")
	one := f.webhook(t, events("user.created", "user.deleted"))
	two := f.webhook(t, events("*"))
	three := f.webhook(t, events("user.deleted"))
	f.webhook(t, ofTenant(stranger), events("*"))
	references := map[hook.EventID][]string{}
	for i := range 12 {
		eventType := []string{"user.created", "user.deleted", "order.paid"}[i%3]
		var refs []string
		if i%2 == 0 {
			refs = []string{"order_1", fmt.Sprint("line_", i)}
		}
		references[f.referring(t, eventType, refs...).Event.ID] = refs
		_, err := f.Publish(t.Context(), hook.Publication{TenantID: stranger, Type: eventType, Data: eventData(), References: refs})
		require.NoError(t, err)
	}
	list := func() []hook.Delivery {
		return every(t, 100, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
			return f.FindDeliveries(t.Context(), hook.OneTenant(hook.DefaultTenant()), hook.DeliverySearch{}, p)
		})
	}
	all := list()
	require.Len(t, all, 4*2+4*3+4)
	classes := map[hook.DeliveryID]hook.ErrorClass{}
	for i := range all {
		d := &all[i]
		switch i % 8 {
		case 0, 1:
			f.attempt(t, d.ID, answered(200))
		case 2:
			f.attempt(t, d.ID, answered(503))
			classes[d.ID] = hook.ClassStatus
		case 3:
			for range hook.MaxAttempts {
				f.attempt(t, d.ID, answered(404))
			}
			classes[d.ID] = hook.ClassStatus
		case 4:
			f.attempt(t, d.ID, answered(500))
			f.attempt(t, d.ID, timedOut())
			classes[d.ID] = hook.ClassTimeout
		case 5:
			require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{d.ID}, hook.TextWebhookDisabled))
		}
	}
	yes, no := true, false
	var searches []hook.DeliverySearch
	for _, webhook := range []hook.WebhookID{{}, one.ID, two.ID} {
		for _, reference := range []string{"", "order_1", "line_4", "none"} {
			for _, eventType := range []string{"", "*", "user.*", "user.deleted"} {
				base := hook.DeliverySearch{WebhookID: webhook, Reference: reference, EventType: eventType}
				for _, change := range []func(*hook.DeliverySearch){
					func(*hook.DeliverySearch) {},
					func(s *hook.DeliverySearch) { s.States = []hook.DeliveryState{hook.StatePending} },
					func(s *hook.DeliverySearch) { s.States = []hook.DeliveryState{hook.StateSuccess} },
					func(s *hook.DeliverySearch) { s.States = []hook.DeliveryState{hook.StateFailed} },
					func(s *hook.DeliverySearch) {
						s.States = []hook.DeliveryState{hook.StateFailed, hook.StateCanceled, hook.StatePending}
					},
					func(s *hook.DeliverySearch) { s.States = []hook.DeliveryState{hook.StateCanceled, hook.StateSuccess} },
					func(s *hook.DeliverySearch) { s.Undelivered = true },
					func(s *hook.DeliverySearch) { s.Final = &yes },
					func(s *hook.DeliverySearch) { s.Final = &no },
					func(s *hook.DeliverySearch) { s.StatusClass = 2 },
					func(s *hook.DeliverySearch) { s.StatusClass = 5 },
					func(s *hook.DeliverySearch) { s.Class = hook.ClassTimeout },
					func(s *hook.DeliverySearch) { s.Class, s.Final = hook.ClassStatus, &yes },
					func(s *hook.DeliverySearch) { s.Undelivered, s.Final = true, &no },
				} {
					search := base
					change(&search)
					searches = append(searches, search)
				}
			}
		}
	}
	if !longtest.On() { // each kind of change with each base would take half a minute
		searches = slices.DeleteFunc(searches, func(s hook.DeliverySearch) bool {
			return s.WebhookID == one.ID || s.EventType == "*" || s.Reference == "none" ||
				s.WebhookID == two.ID && (s.Reference == "line_4" || s.EventType == "user.deleted")
		})
		some := searches[:0]
		for i := 0; i < len(searches); i += 5 { // 5 and the 14 changes have no common divisor: each occurs with other bases
			some = append(some, searches[i])
		}
		searches = some
	}
	check := func(t *testing.T, limits ...int) {
		t.Helper()
		all := list()
		require.True(t, slices.IsSortedFunc(all, func(a, b hook.Delivery) int { return bytes.Compare(b.ID[:], a.ID[:]) }))
		for i := range searches {
			s := &searches[i]
			want := []hook.DeliveryID{}
			for _, d := range all {
				if d := (searched{d, classes[d.ID], references[d.EventID]}); d.matches(s) {
					want = append(want, d.ID)
				}
			}
			for _, limit := range limits {
				got := []hook.DeliveryID{}
				for _, d := range every(t, limit, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
					return f.FindDeliveries(t.Context(), hook.OneTenant(hook.DefaultTenant()), *s, p)
				}) {
					got = append(got, d.ID)
				}
				require.Equal(t, want, got, "%+v", s)
			}
			slices.Reverse(want)
			require.Equal(t, want, f.oldestFirst(t, limits[0], *s), "%+v", s)
		}
	}
	check(t, longtest.Size(4, 1), 100)
	// Deliveries of a disabled and of a deleted webhook are canceled for readers before their rows are.
	f.exec(t, `update webhooks set active = false, disabled_reason = 'x' where id = $1`, [16]byte(two.ID))
	f.exec(t, `insert into cancellations (webhook_id, generation, reason) values ($1, 1, $2)`, [16]byte(two.ID), hook.TextWebhookDisabled)
	f.exec(t, `delete from webhooks where id = $1`, [16]byte(three.ID))
	check(t, 3)

	// A time bounds every kind of list.
	middle := all[10].EventID.Time()
	for i := range searches {
		s := &searches[i]
		whole := every(t, 100, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
			return f.FindDeliveries(t.Context(), hook.OneTenant(hook.DefaultTenant()), *s, p)
		})
		var halves []hook.Delivery
		for _, bounds := range [][2]time.Time{{middle, {}}, {{}, middle}} {
			halves = append(halves, every(t, 100, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
				p.Since, p.Until = bounds[0], bounds[1]
				return f.FindDeliveries(t.Context(), hook.OneTenant(hook.DefaultTenant()), *s, p)
			})...)
		}
		require.Len(t, halves, len(whole), "%+v", s)
	}
}

// A2: events whose ids share the eight bytes with which their deliveries' ids begin are one step. No delivery is
// missed or shown twice, whatever the page's size.
func TestFindDeliveriesOfEventsAtOneMoment(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.exec(t, `with k as (
			select (b || '-8000-' || lpad(to_hex(n * 7 % 11), 12, '0'))::uuid as event, (b || '-8000-' || lpad(to_hex(n * 5 % 13), 12, '0'))::uuid as delivery
			from (select left(day_floor((now() at time zone 'utc')::date)::text, 13) || '-7001' as b) m, generate_series(1, 10) n),
		e as (insert into events (id, tenant_id, type, data, deliveries, created_at, refs) select event, $2, 'user.created', '{}', 1, now(), '{order_1}' from k),
		r as (insert into event_references (tenant_id, reference, event_id) select $2, 'order_1', event from k)
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, delivered_at, created_at, updated_at)
		select delivery, event, $1, $2, 'user.created', 'success', now(), now(), now() from k`, [16]byte(w.ID), [16]byte(w.TenantID))
	for _, reference := range []string{"", "order_1"} {
		for limit := range 11 {
			found := every(t, limit+1, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
				return f.FindDeliveries(t.Context(), hook.OneTenant(w.TenantID), hook.DeliverySearch{Reference: reference}, p)
			})
			require.Len(t, found, 10)
			require.True(t, slices.IsSortedFunc(found, func(a, b hook.Delivery) int { return bytes.Compare(b.ID[:], a.ID[:]) }))
		}
	}
}

// A2: whatever the search, a page reads a limited number of rows by indexes, with or without statistics, and leads on
// when it finds little.
func TestASearchReadsABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	month(t, f, w)
	f.exec(t, `insert into event_references (tenant_id, reference, event_id) select tenant_id, 'order_1', id from events`)
	f.attempt(t, f.delivery(t, w), answered(500))
	f.delivery(t, w)

	const limit = 20
	// One row of an index is read for each day, to find the newest, and one webhook for each delivery shown.
	const few = 4*(limit+1) + 2*monthDays + 20
	no := false
	check := func(t *testing.T) {
		t.Helper()
		for _, test := range []struct {
			name   string
			search hook.DeliverySearch
			most   float64
			full   bool
		}{
			{"all", hook.DeliverySearch{}, 2 * few, true},
			{"success", hook.DeliverySearch{States: []hook.DeliveryState{hook.StateSuccess}}, 2 * few, true},
			{"of a type", hook.DeliverySearch{EventType: "user.created"}, 2 * few, true},
			{"of a type that there is none of", hook.DeliverySearch{EventType: "user.deleted"}, 2*storage.MostSteps + few, false},
			{"of a webhook and a type that there is none of", hook.DeliverySearch{EventType: "user.deleted", WebhookID: w.ID}, storage.MostSearched + few, false},
			{"pending", hook.DeliverySearch{States: []hook.DeliveryState{hook.StatePending}}, few, false},
			{"failed", hook.DeliverySearch{States: []hook.DeliveryState{hook.StateFailed}}, few, false},
			{"undelivered", hook.DeliverySearch{Undelivered: true}, few, false},
			{"not final", hook.DeliverySearch{Final: &no}, few, false},
			{"of a class", hook.DeliverySearch{Class: hook.ClassTimeout}, few, false},
			{"of a reference", hook.DeliverySearch{Reference: "order_1"}, 4 * few, true},
			{"failed of a reference", hook.DeliverySearch{Reference: "order_1", Undelivered: true}, 4*storage.MostSteps + few, false},
			{"of a webhook", hook.DeliverySearch{WebhookID: w.ID}, few, true},
			{"undelivered of a webhook", hook.DeliverySearch{WebhookID: w.ID, Undelivered: true}, few, false},
			{"pending of a webhook", hook.DeliverySearch{WebhookID: w.ID, States: []hook.DeliveryState{hook.StatePending}}, few, false},
		} {
			statements := storage.SearchPages(hook.OneTenant(w.TenantID), test.search, hook.Page{Limit: limit})
			if test.full { // then nothing else is read
				statements = statements[:1]
			}
			for _, s := range statements {
				plan := explain(t, f, s)
				require.LessOrEqual(t, plan.read(), test.most, "%s: %s", test.name, s.SQL)
				require.NotContains(t, plan.types(), "Sort", "%s: %s", test.name, s.SQL)
				require.NotContains(t, plan.types(), "Seq Scan", "%s: %s", test.name, s.SQL)
			}
		}
		for _, s := range storage.EventsPage(hook.OneTenant(w.TenantID), hook.EventFilter{Reference: "order_1"}, hook.Page{Limit: limit, Bytes: 1 << 20})[:1] {
			plan := explain(t, f, s)
			require.LessOrEqual(t, plan.read(), float64(2*few), s.SQL)
			require.NotContains(t, plan.types(), "Sort", s.SQL)
		}
	}
	check(t)
	f.exec(t, `analyze`)
	check(t)

	f.exec(t, `update deliveries set event_type = 'user.deleted' where id = (select id from deliveries order by id limit 1)`)
	f.exec(t, `update events set type = 'user.deleted' where id = (select id from events order by id limit 1)`)
	for _, search := range []hook.DeliverySearch{{EventType: "user.deleted"}, {Reference: "order_1", EventType: "user.deleted"}} {
		found, read := follow(t, 10, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
			return f.FindDeliveries(t.Context(), hook.OneTenant(w.TenantID), search, p)
		})
		require.Len(t, found, 1)
		require.GreaterOrEqual(t, read, monthDays*dailyRows/storage.MostSteps)
	}
}
