package storage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// A search reads deliveries of all webhooks of a tenant (A2). There is no index of a tenant's deliveries: that would cost every
// accept and every recording. Deliveries lie beside their events by id, so a search goes through the tenant's events, or those
// with a reference, and reads the deliveries of each. What has not succeeded has an index by tenant and state. docs/adr/0012
// says what was measured.
//
// A search over all tenants (K4) reads the deliveries by their ids, or an index of those that failed, which has few. Of those that
// have an attempt to come there is no index over all tenants, since each accept would write to it: a page reads the newest
// deliveries, and leads on.
const (
	// mostSearched bounds how many deliveries a page of a search reads, in all its lists together; mostSteps how many events
	// it goes through.
	mostSearched, mostSteps = 5_000, 2_500
	// mostReferred bounds how many events a page of the events with a reference reads. Each is looked up by its id.
	mostReferred = 2_500
)

// FindDeliveries lists deliveries of a tenant (A2), or of all (K4), newest first, by the event's time. A page may be short,
// even empty, without being the last: next is where the next page begins, nil at the end. There are none if the conditions
// contradict each other.
func (s *Store) FindDeliveries(
	ctx context.Context, of hook.TenantFilter, f hook.DeliverySearch, p hook.Page,
) (deliveries []hook.Delivery, next *[16]byte, err error) {
	return s.findDeliveries(ctx, of, f, p, false)
}

// findDeliveries is FindDeliveries in either order. Oldest first, p.Before is the last entry of the page before, too.
func (s *Store) findDeliveries(
	ctx context.Context, of hook.TenantFilter, f hook.DeliverySearch, p hook.Page, oldestFirst bool,
) (deliveries []hook.Delivery, next *[16]byte, err error) {
	ending := false
	if slices.Contains(f.Wanted(), hook.StateCanceled) {
		err := s.lists.QueryRow(ctx, `select exists (select from cancellations)`).Scan(&ending)
		if err != nil {
			return nil, nil, mapErr(fmt.Errorf("find deliveries: look up cancellations: %w", err))
		}
	}
	lists := searchListings(of, &f, ending, oldestFirst)
	if len(lists) == 0 {
		return []hook.Delivery{}, nil, nil
	}
	deliveries, next, err = readMerged(ctx, s, lists, p, collectShown, func(d *hook.Delivery) [16]byte { return d.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("find deliveries: %w", err)
	}
	return deliveries, next, nil
}

// searchListings returns the lists whose rows together are those of a search. ending says that deliveries are still being
// canceled whose rows don't say so.
func searchListings(of hook.TenantFilter, f *hook.DeliverySearch, ending, oldestFirst bool) []*listing {
	wanted := f.Wanted()
	if len(wanted) == 0 {
		return nil
	}
	var lists []*listing
	switch {
	case f.IDs != nil:
		lists = []*listing{chosenByID(of, f.IDs)}
	case f.Reference != "":
		lists = []*listing{referenceWalk(of, f, oldestFirst)}
	case !slices.Contains(wanted, hook.StateSuccess):
		lists = byState(of, f, wanted, ending)
	case f.WebhookID != hook.WebhookID{}:
		lists = []*listing{ofWebhook(f.WebhookID)}
	case of.All:
		lists = []*listing{ofAll()}
	default:
		lists = []*listing{eventWalk(of.ID, f, oldestFirst)}
	}
	for _, l := range lists {
		l.most, l.oldestFirst = mostSearched/len(lists), oldestFirst
		l.narrow(f)
		if len(lists) == 1 && len(l.states) == 0 {
			l.states = hook.DeliveryStates()
		}
		if condition := stateCondition(l.states, wanted, f.Ended()); condition != "" {
			l.filter = append(l.filter, condition)
		}
	}
	return lists
}

// found returns a list of the deliveries that an index finds by a condition.
func found(within string, args pgx.StrictNamedArgs) *listing {
	l := ofAll()
	l.within, l.args = []string{within}, args
	return l
}

// ofWebhook returns a list of a webhook's deliveries, and ofAll one of all deliveries.
func ofWebhook(id hook.WebhookID) *listing {
	return found(`d.webhook_id = @webhook_id`, pgx.StrictNamedArgs{"webhook_id": [16]byte(id)})
}

func ofAll() *listing {
	return &listing{table: "deliveries", alias: "d", columns: shownColumns, join: shown, args: pgx.StrictNamedArgs{}}
}

// chosenByID returns a list of the deliveries with the ids. Each is looked up: in the order of ids, an index would be read
// from the first to the last.
func chosenByID(of hook.TenantFilter, ids []hook.DeliveryID) *listing {
	l := ofAll()
	l.args["ids"] = raw(ids)
	if !of.All {
		l.within, l.args["tenant_id"] = []string{`d.tenant_id = @tenant_id`}, [16]byte(of.ID)
	}
	l.table = `(select d.* from (select distinct id from unnest(@ids::uuid[]) as id) k cross join lateral (select * from deliveries d where d.id = k.id offset 0) d)`
	return l
}

// byState returns lists of the rows in each state that is not success. A webhook's rows come from its own indexes.
func byState(of hook.TenantFilter, f *hook.DeliverySearch, wanted []hook.DeliveryState, ending bool) (lists []*listing) {
	var waiting *listing // of all tenants, pending or being sent
	for _, state := range hook.DeliveryStates() {
		outstanding := state == hook.StatePending || state == hook.StateSending || state == hook.StateFailed
		canceling := ending && outstanding && slices.Contains(wanted, hook.StateCanceled)
		if state == hook.StateSuccess || !slices.Contains(wanted, state) && !canceling {
			continue
		}
		unsent := state == hook.StatePending || state == hook.StateSending
		// Literals, not arguments, show the planner which index has such rows.
		row := `d.state = '` + string(state) + `'`
		var l *listing
		switch {
		case f.WebhookID != (hook.WebhookID{}) && unsent:
			l = ofWebhook(f.WebhookID)
			l.within = append(l.within, `d.next_attempt_at is not null`)
		case f.WebhookID != (hook.WebhookID{}):
			l = ofWebhook(f.WebhookID)
			l.within = append(l.within, row)
		case of.All && unsent && waiting != nil:
			waiting.states = append(waiting.states, state)
			continue
		case of.All && unsent:
			l = ofAll()
			waiting = l
		case of.All:
			l = found(row, pgx.StrictNamedArgs{})
		default:
			l = found(`d.tenant_id = @tenant_id`, pgx.StrictNamedArgs{"tenant_id": [16]byte(of.ID)})
			l.within = append(l.within, row, `d.state <> 'success'`)
		}
		l.states = []hook.DeliveryState{state}
		lists = append(lists, l)
	}
	return lists
}

// stateCondition returns the condition that a row in one of the given states is a delivery in a wanted state, as clients see
// it, which has ended or has not; "" if that is so for every row.
func stateCondition(states, wanted []hook.DeliveryState, ended *bool) string {
	if len(wanted) == len(hook.DeliveryStates()) && ended == nil {
		return ""
	}
	const standing = `not coalesce(` + revoked + `, false)`
	var ways []string
	for _, state := range states {
		row := `d.state = '` + string(state) + `'`
		switch state {
		case hook.StatePending, hook.StateSending, hook.StateFailed:
			if slices.Contains(wanted, hook.StateCanceled) {
				ways = append(ways, row+` and coalesce(`+revoked+`, false)`)
			}
			if !slices.Contains(wanted, state) {
				continue
			}
			row += ` and ` + standing
			if ended != nil && *ended {
				row += ` and d.next_attempt_at is null`
			}
			if ended != nil && !*ended {
				row += ` and d.next_attempt_at is not null`
			}
			ways = append(ways, row)
		case hook.StateSuccess, hook.StateCanceled, hook.StateTimedOut, hook.StateDropped:
			if slices.Contains(wanted, state) {
				ways = append(ways, row)
			}
		}
	}
	return `(` + strings.Join(ways, ` or `) + `)`
}

// narrow adds the conditions of a search that are checked on each row.
func (l *listing) narrow(f *hook.DeliverySearch) {
	if f.WebhookID != (hook.WebhookID{}) && l.args["webhook_id"] == nil {
		l.filter = append(l.filter, `d.webhook_id = @webhook_id`)
		l.choose(pgx.StrictNamedArgs{"webhook_id": [16]byte(f.WebhookID)})
	}
	if f.WebhookIDs != nil {
		l.filter = append(l.filter, `d.webhook_id = any(@webhook_ids)`)
		l.choose(pgx.StrictNamedArgs{"webhook_ids": raw(f.WebhookIDs)})
	}
	if len(f.Except) > 0 {
		l.filter = append(l.filter, `d.webhook_id <> all(@except)`)
		l.choose(pgx.StrictNamedArgs{"except": raw(f.Except)})
	}
	if f.StatusClass > 0 {
		l.filter = append(l.filter, `d.status_code / 100 = @status_class`)
		l.choose(pgx.StrictNamedArgs{"status_class": f.StatusClass})
	}
	if f.Class != hook.ClassNone {
		l.filter = append(l.filter, `(select a.error_class from attempts a where a.delivery_id = d.id and a.number = d.attempts) = @error_class`)
		l.choose(pgx.StrictNamedArgs{"error_class": string(f.Class)})
	}
	if l.args["type"] == nil && l.args["types"] == nil {
		condition, args := typesCondition("d.event_type", f.Types())
		if condition != "" {
			l.filter = append(l.filter, condition)
		}
		l.choose(args)
	}
	l.may(f.May, "d.event_type")
	l.ofCaches(f.May, `(select e.cache from events e where e.id = d.event_id)`)
}

// eventWalk returns a list of the deliveries of a tenant's events.
func eventWalk(tenant hook.TenantID, f *hook.DeliverySearch, oldestFirst bool) *listing {
	args := pgx.StrictNamedArgs{"tenant_id": [16]byte(tenant)}
	condition, typeArgs := typesCondition("e.type", f.Types())
	if condition != "" {
		condition = " where " + condition
		maps.Copy(args, typeArgs)
	}
	return deliveryWalk(`select e.id, e.type from events e where e.tenant_id = @tenant_id and e.id >= @first and e.id <= @last order by e.id`,
		condition, `d.tenant_id = @tenant_id`, args, oldestFirst)
}

// referenceWalk returns a list of the deliveries of the events with a reference.
func referenceWalk(of hook.TenantFilter, f *hook.DeliverySearch, oldestFirst bool) *listing {
	having, args := `r.reference = @reference`, pgx.StrictNamedArgs{"reference": f.Reference}
	if !of.All {
		having, args["tenant_id"] = `r.tenant_id = @tenant_id and `+having, [16]byte(of.ID)
	}
	return deliveryWalk(`select r.event_id as id from event_references r where `+having+` and r.event_id >= @first and r.event_id <= @last order by r.event_id`,
		"", `exists (select from event_references r where `+having+` and r.event_id = d.event_id offset 0)`, args, oldestFirst)
}

// deliveryWalk returns a list of the deliveries that lie beside events, and for which theirs holds. steps is a query of the
// events' ids between @first and @last, ordered by them, without the direction; of those that it reads, chosen may leave
// some out.
//
// A few events may share the eight bytes with which the ids of their deliveries begin. Of these the walk takes the first,
// and reads the deliveries of all. So no two steps have deliveries in common, and ids have the order of steps.
func deliveryWalk(steps, chosen, theirs string, args pgx.StrictNamedArgs, oldestFirst bool) *listing {
	const begins, lowest, highest = `left(e.id::text, 18)`, `'-0000-000000000000'`, `'-ffff-ffffffffffff'`
	l := &listing{oldestFirst: oldestFirst, alias: "d", columns: shownColumns, join: shown, args: args}
	direction, end := l.direction(), lowest
	if oldestFirst {
		end = highest
	}
	steps += direction
	l.table = fmt.Sprintf(`(
				select e.id, (b || %s)::uuid as lowest, (b || %s)::uuid as highest
				from (select e.id, %s as b, lag(%[3]s) over (order by e.id%[8]s) as before from (%[4]s limit %[5]d) e%[6]s) e
				where before is distinct from b
			) k cross join lateral (
				select * from deliveries d where d.id >= k.lowest and d.id <= k.highest and d.id >= @lo and d.id < @hi and %[7]s
				order by d.id%[8]s limit %[9]d)`, lowest, highest, begins, steps, mostSteps, chosen, theirs, direction, mostSearched)
	l.walk = &walk{
		key: "d.id", step: "k.id", within: true,
		last: fmt.Sprintf(`select (%s || %s)::uuid from (%s offset %d limit 1) e`, begins, end, steps, mostSteps-1),
	}
	return l
}
