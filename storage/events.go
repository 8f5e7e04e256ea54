package storage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// eventColumns are the columns of eventRow, in any query that joins events as e. sentColumns leave out the workflow
// and the references, which sending does not need.
const (
	eventColumns = sentColumns + `, e.refs, (select s.workflow_id from shared_workflows s where s.event_id = e.id) as workflow_id`
	sentColumns  = `e.id, e.tenant_id, e.type, e.data, e.organization_id, e.test, e.deliveries, e.created_at,
	e.cache, coalesce(e.sequence, 0) as sequence, e.token_id, e.drained_by, e.trace, e.hops`
)

type eventRow struct {
	ID             [16]byte
	TenantID       [16]byte
	Type           string
	Data           []byte
	OrganizationID string
	Test           bool
	Deliveries     int
	CreatedAt      time.Time
	Cache          string
	Sequence       int64
	TokenID        string
	DrainedBy      *[16]byte
	Trace          []byte
	Hops           []byte
	Refs           []string
	WorkflowID     *string
}

func (r *eventRow) event() hook.Event {
	e := hook.Event{
		ID: r.ID, TenantID: r.TenantID, Type: r.Type, Data: r.Data, OrganizationID: r.OrganizationID,
		Test: r.Test, Deliveries: r.Deliveries, CreatedAt: r.CreatedAt,
		Cache: r.Cache, Sequence: r.Sequence, TokenID: r.TokenID, Trace: hook.TraceOf(r.Trace), Hops: hook.HopsOf(r.Hops),
		References: r.Refs,
	}
	if !r.Test {
		e.WorkflowID = workflowID(r.Deliveries, r.WorkflowID, r.DrainedBy, e.ID)
	}
	return e
}

// workflowID returns the id of the workflow that delivers an event: its own, unless it shares another one or all its
// deliveries are deferred to a drain.
func workflowID(deliveries int, other *string, drainedBy *[16]byte, id hook.EventID) string {
	switch {
	case other != nil:
		return *other
	case drainedBy != nil:
		return contract.DrainID(*drainedBy)
	case deliveries == 0:
		return ""
	default:
		return id.String()
	}
}

// Event reads one event. It is not found if it belongs to another tenant.
func (s *Store) Event(ctx context.Context, tenant hook.TenantID, id hook.EventID) (hook.Event, error) {
	rows, _ := s.pool.Query(ctx, `select `+eventColumns+` from events e where e.id = $1 and e.tenant_id = $2`,
		[16]byte(id), [16]byte(tenant))
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[eventRow])
	if err != nil {
		return hook.Event{}, notFound("event", fmt.Errorf("select event %s: %w", id, err))
	}
	return row.event(), nil
}

// Events lists the events of tenants, newest first, without tests. A page may be short, even empty, without being the
// last: next is where the next page begins, nil at the end.
func (s *Store) Events(ctx context.Context, of hook.TenantFilter, f hook.EventFilter, p hook.Page) (events []hook.Event, next *[16]byte, err error) {
	l := eventsListing(of, f, p.Bytes)
	events, next, err = readPage(ctx, s, &l, p, collectEvents, func(e *hook.Event) [16]byte { return e.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("list events: %w", err)
	}
	for i := range events {
		if events[i].Data == nil { // it exceeded the bound, so the page ends before it
			last := [16]byte(events[i-1].ID)
			return events[:i], &last, nil
		}
	}
	return events, next, nil
}

// eventsListing includes data until the page has the given number of bytes; 0 is no bound.
func eventsListing(of hook.TenantFilter, f hook.EventFilter, bytes int) listing {
	l := listing{
		table: "events", alias: "e", columns: eventColumns,
		filter: []string{`not e.test`}, args: pgx.StrictNamedArgs{},
	}
	order := "e.id desc"
	if f.Reference != "" {
		l.table = `event_references r cross join lateral (select * from events e where e.id = r.event_id offset 0)`
		l.within, l.args["reference"] = []string{`r.reference = @reference`}, f.Reference
		if !of.All { // as in ofTenants
			l.within, l.args["tenant_id"] = append(l.within, `r.tenant_id = @tenant_id`), [16]byte(of.ID)
		}
		l.walk, l.most, order = &walk{key: "r.event_id", step: "r.event_id"}, mostReferred, "e.step desc"
	} else {
		l.ofTenants(of)
	}
	l.ofType("e.type", f.Type)
	if bytes > 0 {
		// Of data beyond the bound only the size is read, which does not fetch it.
		l.measure = `sum(octet_length(e.data) + 1024) over (order by ` + order + `)`
		l.columns = strings.Replace(eventColumns, "e.data", "case when e.measured <= @bytes or e.place = 1 then e.data end as data", 1)
		l.choose(pgx.StrictNamedArgs{"bytes": bytes})
	}
	l.may(f.May, "e.type")
	l.ofCaches(f.May, "e.cache")
	return l
}

func collectEvents(rows pgx.Rows) (events []hook.Event, err error) {
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[eventRow])
	for i := range found {
		events = append(events, found[i].event())
	}
	return events, err
}
