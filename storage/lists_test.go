package storage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage"
)

// withQuery sets a parameter of a connection string.
func withQuery(t *testing.T, raw, name, value string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

const (
	monthDays = 30
	// dailyRows times the days is more rows than a page reads.
	dailyRows = 1500
)

// month inserts thirty days of deliveries that have succeeded, each with its event.
func month(t *testing.T, f *fixture, w hook.Webhook) {
	t.Helper()
	for day := monthDays; day >= 1; day-- {
		f.partition(t, -day, partitioned...)
		f.exec(t, `with k as (
				select (left(day_floor((now() at time zone 'utc')::date - $3::int)::text, 13) || '-7' || lpad(to_hex(n), 3, '0') || '-8000-000000000000')::uuid as id
				from generate_series(1, $4::int) n),
			e as (insert into events (id, tenant_id, type, data, deliveries, created_at) select id, $2, 'user.created', '{}', 1, now() from k)
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, attempts, scheduled, status_code, delivered_at, created_at, updated_at)
			select id, id, $1, $2, 'user.created', 'success', 1, 1, 200, now(), now(), now() from k`,
			[16]byte(w.ID), [16]byte(w.TenantID), day, dailyRows)
	}
}

// planNode is a node of a plan, as EXPLAIN shows it.
type planNode struct {
	NodeType string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Rows     float64    `json:"Actual Rows"`
	Removed  float64    `json:"Rows Removed by Filter"`
	Loops    float64    `json:"Actual Loops"`
	Plans    []planNode `json:"Plans"`
}

// of returns the nodes that read a table.
func (n *planNode) of(relation string) (list []planNode) {
	if n.Relation == relation && n.NodeType != "ModifyTable" {
		list = append(list, *n)
	}
	for i := range n.Plans {
		list = append(list, n.Plans[i].of(relation)...)
	}
	return list
}

// read returns how many rows of tables the plan has read.
func (n *planNode) read() (rows float64) {
	if n.Relation != "" {
		rows = (n.Rows + n.Removed) * n.Loops
	}
	for i := range n.Plans {
		rows += n.Plans[i].read()
	}
	return rows
}

func (n *planNode) types() (list []string) {
	list = append(list, n.NodeType)
	for i := range n.Plans {
		list = append(list, n.Plans[i].types()...)
	}
	return list
}

// explain runs a statement with a generic plan, as a list does, and returns the plan.
func explain(t *testing.T, f *fixture, s storage.Statement) planNode {
	t.Helper()
	return explainUnder(t, f, storage.ListSettings, s)
}

// explainUnder runs a statement with a generic plan, under settings, and returns the plan.
func explainUnder(t *testing.T, f *fixture, settings string, s storage.Statement) planNode {
	t.Helper()
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	exec := func(sql string) {
		_, err := tx.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(settings)
	exec(`select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true)`)
	sql, args, err := s.Args.RewriteQuery(t.Context(), tx.Conn(), s.SQL, nil)
	require.NoError(t, err)
	exec(`prepare page as ` + sql)
	literals := make([]string, 0, len(args))
	for _, a := range args {
		switch v := a.(type) {
		case [16]byte:
			a = fmt.Sprintf("%x", v[:])
		case [][16]byte:
			a = "{" + strings.ReplaceAll(strings.Trim(fmt.Sprintf("%x", v), "[]"), " ", ",") + "}"
		case []string:
			a = "{" + strings.Trim(strings.Repeat(`"",`, len(v)), ",") + "}" // they are empty
		}
		literals = append(literals, fmt.Sprintf("'%v'", a))
	}
	var text []byte
	require.NoError(t, tx.QueryRow(t.Context(), `explain (analyze, format json) execute page(`+strings.Join(literals, ", ")+`)`, pgx.QueryExecModeSimpleProtocol).Scan(&text))
	exec(`deallocate page`)
	var plans []struct{ Plan planNode }
	require.NoError(t, json.Unmarshal(text, &plans))
	return plans[0].Plan
}

// Whatever the filter, a page reads the rows that an index finds, or a limited number of rows. That holds for a
// month as for a day, and with or without statistics for the planner.
func TestAPageReadsABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	month(t, f, w)
	f.delivery(t, w)
	f.attempt(t, f.delivery(t, w), answered(500))
	require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{f.delivery(t, w)}, hook.TextWebhookDisabled))

	const limit = 20
	// One row of the index is read for each day, to find the newest, and one webhook for each delivery shown.
	const few = 2*(limit+1) + monthDays + 10
	page := func(filter hook.DeliveryFilter) []storage.Statement {
		return storage.DeliveriesPage(w.ID, filter, hook.Page{Limit: limit})
	}
	eventsOf := func(filter hook.EventFilter) []storage.Statement {
		return storage.EventsPage(hook.OneTenant(w.TenantID), filter, hook.Page{Limit: limit, Bytes: 1 << 20})
	}
	check := func(t *testing.T) {
		t.Helper()
		for _, test := range []struct {
			name       string
			statements []storage.Statement
			most       float64
		}{
			{"deliveries", page(hook.DeliveryFilter{}), few},
			{"pending", page(hook.DeliveryFilter{State: hook.StatePending}), few},
			{"success", page(hook.DeliveryFilter{State: hook.StateSuccess})[:1], few},
			{"failed", page(hook.DeliveryFilter{State: hook.StateFailed}), few},
			{"timed out", page(hook.DeliveryFilter{State: hook.StateTimedOut}), few},
			{"dropped", page(hook.DeliveryFilter{State: hook.StateDropped}), few},
			{"canceled", page(hook.DeliveryFilter{State: hook.StateCanceled}), few},
			{"failed of a type", page(hook.DeliveryFilter{State: hook.StateFailed, EventType: "user.deleted"}), few},
			{"of a type", page(hook.DeliveryFilter{EventType: "user.created"})[:1], few},
			{"of a type that there is none of", page(hook.DeliveryFilter{EventType: "user.deleted"}), storage.MaxRowsRead + few},
			{"success of a type that there is none of", page(hook.DeliveryFilter{State: hook.StateSuccess, EventType: "user.deleted"}), storage.MaxRowsRead + few},
			{"events", eventsOf(hook.EventFilter{})[:1], few},
			{"events of a type", eventsOf(hook.EventFilter{Type: "user.created"})[:1], few},
			{"events of a type that there is none of", eventsOf(hook.EventFilter{Type: "user.deleted"}), storage.MaxRowsRead + few},
		} {
			for _, s := range test.statements {
				plan := explain(t, f, s)
				require.LessOrEqual(t, plan.read(), test.most, "%s: %s", test.name, s.SQL)
				require.NotContains(t, plan.types(), "Sort", test.name)
				require.NotContains(t, plan.types(), "Seq Scan", test.name)
			}
		}
	}
	check(t)
	f.exec(t, `analyze`)
	check(t)
}

// A page that has read its limit of rows has a next page, even if it found little or nothing. The pages together
// have everything once.
func TestShortPagesLeadOn(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	month(t, f, w)
	f.exec(t, `update deliveries set event_type = 'user.deleted' where id in (
		(select id from deliveries order by id limit 3) union all (select id from deliveries order by id desc limit 2))`)
	f.exec(t, `update events set type = 'user.deleted' where id in (select id from deliveries where event_type = 'user.deleted')`)
	const total = monthDays * dailyRows
	for _, limit := range []int{1, 2, 4, 5, 100} {
		for _, state := range []hook.DeliveryState{"", hook.StateSuccess} {
			found, read := follow(t, limit, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
				return f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{State: state, EventType: "user.deleted"}, p)
			})
			require.Len(t, found, 5)
			require.LessOrEqual(t, read, 5+total/storage.MaxRowsRead+1)
			require.GreaterOrEqual(t, read, total/storage.MaxRowsRead)
		}
		found, read := follow(t, limit, func(p hook.Page) ([]hook.Event, *[16]byte, error) {
			return f.Events(t.Context(), hook.OneTenant(w.TenantID), hook.EventFilter{Type: "user.deleted"}, p)
		})
		require.Len(t, found, 5)
		require.GreaterOrEqual(t, read, total/storage.MaxRowsRead)
	}
	empty, next, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{EventType: "no.such"}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, empty)
	require.NotNil(t, next)
}

// Lists that are slow don't block publishing, however many there are, and they end.
func TestListsDontHoldUpPublishing(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	s := open(t, withQuery(t, f.url, "pool_max_conns", "2"), encryptionKey)
	hold, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = hold.Rollback(context.WithoutCancel(t.Context())) }) // it has ended by then
	_, err = hold.Exec(t.Context(), `lock table deliveries_default, events_default in access exclusive mode`)
	require.NoError(t, err)

	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			_, _, err := s.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{}, hook.Page{Limit: 10})
			return err
		})
	}
	require.Eventually(t, func() bool {
		return scalar[int](t, f, `select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`) == 2
	}, 20*time.Second, 5*time.Millisecond, "two lists are read at once")
	for range 5 {
		_, err := s.Publish(t.Context(), hook.Publication{TenantID: w.TenantID, Type: "user.created", Data: eventData()})
		require.NoError(t, err)
	}
	requireKind(t, hook.KindUnavailable, g.Wait())
	require.NoError(t, hold.Rollback(t.Context()))
	list, _, err := s.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 5)
}

// The error of a page that takes too long says how to narrow the list.
func TestAPageThatTakesTooLong(t *testing.T) {
	t.Parallel()
	err := storage.ListError(fmt.Errorf("list: %w", &pgconn.PgError{Code: "57014"}))
	requireKind(t, hook.KindUnavailable, err)
	var domain *hook.Error
	require.ErrorAs(t, err, &domain)
	require.Contains(t, domain.Message, "since and until")
	requireKind(t, hook.KindUnavailable, storage.ListError(&pgconn.PgError{Code: "55P03"}))
}
