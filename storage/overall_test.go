package storage_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/metrics/measure"
	"grapnel/storage"
)

// everyTenant names all tenants (K4).
func everyTenant() hook.TenantFilter { return hook.TenantFilter{All: true} }

// K4: a search over all tenants finds what the same search finds for each of them, newest first, page by page.
func TestFindDeliveriesOfAllTenants(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	tenants := []hook.TenantID{hook.DefaultTenant(), f.customer(t, "a"), f.customer(t, "b")}
	var webhooks []hook.Webhook
	for i, tenant := range tenants {
		webhooks = append(webhooks, f.webhook(t, ofTenant(tenant), events("user.created")), f.webhook(t, ofTenant(tenant), events("*")))
		if i == 2 {
			f.webhook(t, ofTenant(tenant), events("*"), inactive)
		}
	}
	for i := range 30 {
		var refs []string
		if i%2 == 0 {
			refs = []string{"order_1", fmt.Sprint("line_", i)}
		}
		_, err := f.Publish(t.Context(), hook.Publication{
			TenantID: tenants[i%3], Type: []string{"user.created", "user.deleted", "order.paid"}[i/3%3], Data: eventData(), References: refs,
		})
		require.NoError(t, err)
	}
	find := func(of hook.TenantFilter, s hook.DeliverySearch, limit int) []hook.Delivery {
		return every(t, limit, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) { return f.FindDeliveries(t.Context(), of, s, p) })
	}
	for i, d := range find(everyTenant(), hook.DeliverySearch{}, 100) {
		switch i % 7 {
		case 0, 1:
			f.attempt(t, d.ID, answered(200))
		case 2:
			f.attempt(t, d.ID, answered(503))
		case 3:
			for range hook.MaxAttempts {
				f.attempt(t, d.ID, answered(404))
			}
		case 4:
			f.attempt(t, d.ID, timedOut())
		case 5:
			require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{d.ID}, hook.TextWebhookDisabled))
		}
	}
	yes, no := true, false
	searches := []hook.DeliverySearch{
		{},
		{States: []hook.DeliveryState{hook.StatePending}},
		{States: []hook.DeliveryState{hook.StateSuccess}},
		{States: []hook.DeliveryState{hook.StateFailed}},
		{States: []hook.DeliveryState{hook.StateFailed, hook.StatePending}},
		{States: []hook.DeliveryState{hook.StateCanceled, hook.StateSuccess}},
		{Undelivered: true},
		{Final: &yes},
		{Final: &no},
		{StatusClass: 2},
		{StatusClass: 4},
		{Class: hook.ClassTimeout},
		{Class: hook.ClassStatus, Final: &yes},
	}
	check := func(limits ...int) {
		for _, base := range searches {
			for _, reference := range []string{"", "order_1", "line_4", "none"} {
				for _, eventType := range []string{"", "user.*", "user.deleted"} {
					for _, webhook := range []hook.WebhookID{{}, webhooks[0].ID, webhooks[3].ID} {
						s := base
						s.Reference, s.EventType, s.WebhookID = reference, eventType, webhook
						want := []hook.DeliveryID{}
						for i, tenant := range tenants {
							if webhook != (hook.WebhookID{}) && webhooks[2*i].ID != webhook && webhooks[2*i+1].ID != webhook {
								continue // the caller has found out whose the webhook is
							}
							for _, d := range find(hook.OneTenant(tenant), s, 100) {
								require.Equal(t, tenant, d.TenantID)
								want = append(want, d.ID)
							}
						}
						slices.SortFunc(want, func(a, b hook.DeliveryID) int { return bytes.Compare(b[:], a[:]) })
						for _, limit := range limits {
							got := []hook.DeliveryID{}
							for _, d := range find(everyTenant(), s, limit) {
								got = append(got, d.ID)
							}
							require.Equal(t, want, got, "%+v", s)
						}
					}
				}
			}
		}
	}
	check(4, 100)
	// Deliveries of disabled and deleted webhooks are canceled for readers before their rows are.
	f.exec(t, `update webhooks set active = false, disabled_reason = 'x' where id = $1`, [16]byte(webhooks[3].ID))
	f.exec(t, `insert into cancellations (webhook_id, generation, reason) values ($1, 1, $2)`, [16]byte(webhooks[3].ID), hook.TextWebhookDisabled)
	f.exec(t, `delete from webhooks where id = $1`, [16]byte(webhooks[5].ID))
	check(5)
}

// K4: events of all tenants are found by a reference and by their type, as those of each tenant are.
func TestEventsOfAllTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenants := []hook.TenantID{hook.DefaultTenant(), f.customer(t, "a"), f.customer(t, "b")}
	var all []hook.Event
	for i := range 24 {
		a, err := f.Publish(t.Context(), hook.Publication{
			TenantID: tenants[i%3], Type: []string{"user.created", "user.deleted"}[i/3%2], Data: eventData(), References: []string{"order_1", fmt.Sprint("line_", i/4)},
		})
		require.NoError(t, err)
		all = append(all, a.Event)
	}
	slices.Reverse(all)
	for _, filter := range []hook.EventFilter{{}, {Type: "user.deleted"}, {Reference: "order_1"}, {Reference: "line_2"}, {Reference: "order_1", Type: "user.*"}, {Reference: "none"}} {
		want := []hook.EventID{}
		for i := range all {
			e := &all[i]
			if (filter.Type == "" || filter.Type == "user.*" || filter.Type == e.Type) && (filter.Reference == "" || slices.Contains(e.References, filter.Reference)) {
				want = append(want, e.ID)
			}
		}
		for _, limit := range []int{1, 5, 100} {
			got := []hook.EventID{}
			for _, e := range every(t, limit, func(p hook.Page) ([]hook.Event, *[16]byte, error) {
				p.Bytes = 1 << 20
				return f.Events(t.Context(), everyTenant(), filter, p)
			}) {
				got = append(got, e.ID)
			}
			require.Equal(t, want, got, "%+v", filter)
		}
	}
}

// K4: whatever the search, a page over all tenants reads a limited number of rows by indexes, and sorts nothing, with or without
// statistics.
func TestASearchOfAllTenantsReadsABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	month(t, f, w)
	f.exec(t, `insert into event_references (tenant_id, reference, event_id) select tenant_id, 'order_1', id from events`)
	f.attempt(t, f.delivery(t, w), answered(500))
	f.delivery(t, w)

	const limit = 20
	const few = 4*(limit+1) + 2*monthDays + 20
	yes, no := true, false
	check := func() {
		t.Helper()
		for _, test := range []struct {
			name   string
			search hook.DeliverySearch
			most   float64
			full   bool
		}{
			{"all", hook.DeliverySearch{}, few, true},
			{"success", hook.DeliverySearch{States: []hook.DeliveryState{hook.StateSuccess}}, few, true},
			{"final", hook.DeliverySearch{Final: &yes}, few, true},
			{"of a type", hook.DeliverySearch{EventType: "user.created"}, few, true},
			{"of a type that there is none of", hook.DeliverySearch{EventType: "user.deleted"}, storage.MostSearched + few, false},
			{"pending", hook.DeliverySearch{States: []hook.DeliveryState{hook.StatePending}}, storage.MostSearched + few, false},
			{"not final", hook.DeliverySearch{Final: &no}, storage.MostSearched/2 + few, false},
			{"failed", hook.DeliverySearch{States: []hook.DeliveryState{hook.StateFailed}}, few, false},
			{"undelivered", hook.DeliverySearch{Undelivered: true}, few, false},
			{"of a class", hook.DeliverySearch{Class: hook.ClassTimeout}, few, false},
			{"of a reference", hook.DeliverySearch{Reference: "order_1"}, 4 * few, true},
			{"failed of a reference", hook.DeliverySearch{Reference: "order_1", Undelivered: true}, 4*storage.MostSteps + few, false},
			{"undelivered of a webhook", hook.DeliverySearch{WebhookID: w.ID, Undelivered: true}, few, false},
		} {
			statements := storage.SearchPages(everyTenant(), test.search, hook.Page{Limit: limit})
			if test.full {
				statements = statements[:1]
			}
			for _, s := range statements {
				plan := explain(t, f, s)
				require.LessOrEqual(t, plan.read(), test.most, "%s: %s", test.name, s.SQL)
				require.NotContains(t, plan.types(), "Sort", "%s: %s", test.name, s.SQL)
				require.NotContains(t, plan.types(), "Seq Scan", "%s: %s", test.name, s.SQL)
			}
		}
		for _, filter := range []hook.EventFilter{{}, {Type: "user.created"}, {Reference: "order_1"}} {
			s := storage.EventsPage(everyTenant(), filter, hook.Page{Limit: limit, Bytes: 1 << 20})[0]
			plan := explain(t, f, s)
			require.LessOrEqual(t, plan.read(), float64(2*few), s.SQL)
			require.NotContains(t, plan.types(), "Sort", s.SQL)
		}
	}
	check()
	f.exec(t, `analyze`)
	check()
}

// K5: the names of tenants are looked up together.
func TestFindTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a, b := f.customer(t, "a"), f.customer(t, "é / b")
	f.exec(t, `update tenants set publish_rate = 7 where id = $1`, [16]byte(a))
	found, err := f.FindTenants(t.Context(), []string{"a", "a", a.String(), "é / b", b.String(), "default", "nobody", "ten_x", "*", "", "x\x00", hook.TenantID{1}.String()})
	require.NoError(t, err)
	rate := 7
	require.Equal(t, map[string]hook.NamedTenant{
		"a": {ID: a, PublishRate: &rate}, a.String(): {ID: a, PublishRate: &rate}, "é / b": {ID: b}, b.String(): {ID: b}, "default": {ID: hook.DefaultTenant()},
	}, found)
	for _, none := range [][]string{nil, {"nobody"}, {"*"}} {
		found, err = f.FindTenants(t.Context(), none)
		require.NoError(t, err)
		require.Empty(t, found)
	}
}

// statements counts the statements of each group.
type statements struct {
	counts
	n map[measure.Group]int
}

func (s *statements) Grouped(group measure.Group, rows int, waited, took time.Duration) {
	s.counts.Grouped(group, rows, waited, took)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[group]++
}

// K5: a batch of a hundred events takes as many statements for a hundred tenants as for one, and each tenant gets what is its
// own: deliveries, references, idempotency keys, usage.
func TestABatchOfManyTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	m := &statements{counts: counts{groups: map[measure.Group]int{}, ended: map[hook.DeliveryState]int{}}, n: map[measure.Group]int{}}
	f.Store = openWith(t, encryptionKey, storage.Config{URL: f.url, Metrics: m})
	tenants := make([]hook.TenantID, 100)
	f.webhook(t)
	for i := range tenants {
		tenants[i] = f.customer(t, fmt.Sprint("c", i))
		f.webhook(t, ofTenant(tenants[i]))
		_, _, err := f.PutEventType(t.Context(), tenants[i], hook.NewEventType{Name: "invoice.paid"})
		require.NoError(t, err)
	}
	publish := func(tenant func(i int) hook.TenantID, key string) (count int) {
		t.Helper()
		before := m.n[measure.GroupPublish]
		list := make([]hook.Publication, len(tenants))
		for i := range list {
			list[i] = hook.Publication{TenantID: tenant(i), Type: "user.created", Data: eventData(), References: []string{"order_1"}}
			if key != "" {
				list[i].IdempotencyKey = key
			}
		}
		accepted, errs := f.PublishAll(t.Context(), list)
		for i := range list {
			require.NoError(t, errs[i])
			require.Equal(t, tenant(i), accepted[i].Event.TenantID)
			require.Equal(t, 1, accepted[i].Event.Deliveries)
		}
		return m.n[measure.GroupPublish] - before
	}
	one := func(int) hook.TenantID { return hook.DefaultTenant() }
	each := func(i int) hook.TenantID { return tenants[i] }
	publish(one, "") // then the store knows how many deliveries such an event has
	publish(each, "")
	require.Equal(t, 1, publish(one, ""))
	require.Equal(t, 1, publish(each, ""))
	require.Equal(t, 1, publish(each, "the same key"), "a key of each tenant")
	require.Equal(t, 100, scalar[int](t, f, `select count(*) from idempotency_keys`))
	require.Equal(t, 100, scalar[int](t, f, `select count(*) from (select from deliveries d join webhooks w on w.id = d.webhook_id and w.tenant_id = d.tenant_id
		where d.tenant_id <> $1 group by d.tenant_id having count(*) = 3) t`, [16]byte(hook.DefaultTenant())))
	require.Equal(t, 100, scalar[int](t, f, `select count(*) from (select from event_references where tenant_id <> $1 group by tenant_id having count(*) = 3) t`, [16]byte(hook.DefaultTenant())))
	require.Equal(t, 100, scalar[int](t, f, `select count(*) from (select from usage_deltas where tenant_id <> $1 group by tenant_id having sum(events) = 3 and sum(deliveries) = 3) t`, [16]byte(hook.DefaultTenant())))

	asked := make([]hook.TypesAsked, len(tenants))
	for i := range asked {
		asked[i] = hook.TypesAsked{TenantID: tenants[i], Names: []string{"user.created", "invoice.paid", "no.such"}}
	}
	found, err := f.LookUpEventTypesOf(t.Context(), asked)
	require.NoError(t, err)
	require.Equal(t, 1, m.n[measure.GroupEventTypes])
	for i := range found {
		require.Equal(t, []string{"no.such"}, found[i].Unknown)
		_, cached := f.CachedEventType(tenants[i], "invoice.paid")
		require.True(t, cached)
	}
}
