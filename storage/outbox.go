package storage

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Started removes events from the outbox: their workflows have started.
func (s *Store) Started(ctx context.Context, events []hook.EventID) error {
	_, err := s.pool.Exec(ctx, `delete from outbox where event_id = any($1)`, raw(events))
	if err != nil {
		return mapErr(fmt.Errorf("mark %d events started: %w", len(events), err))
	}
	return nil
}

// ClaimUnstarted claims events that were accepted longer ago than the claim's age and whose workflow has not been
// started, the oldest first. A claim ends by Started, by Unclaim, or with its time if its holder is gone. Several
// processes claim at once, and none waits for another. If the claims are known but the events can't be read, the page
// has the claims beside the error.
//
// A living process keeps the events that it owns to itself until they are older than hook.OwnedFor. From then on others
// may start their workflows, and the starts name the owner, which still makes the first attempts.
//
// The workflow of an event is named in the outbox before it is started, by starters and sweepers alike
// (ShareWorkflow), so that nothing is started under two names: a process that claims a named row starts the same
// workflow, and finds it running. An older version's starter starts single events under their own names without
// naming them in the outbox. Its rows, which have never been claimed, get their own names here. Its sweeper, which
// knows no claims, may take the same rows at the same time: it gives unnamed rows their own names too, and otherwise
// starts the named workflow.
func (s *Store) ClaimUnstarted(ctx context.Context, c hook.OutboxClaim) (hook.OutboxPage, error) {
	sql, args := claimStatement(&c)
	rows, _ := s.pool.Query(ctx, sql, args)
	var page hook.OutboxPage
	var own, unnamed []hook.EventID
	var shared []string
	var looked int
	var last, id *[16]byte
	var workflow *string
	_, err := pgx.ForEachRow(rows, []any{&looked, &last, &id, &workflow}, func() error {
		if page.More = looked == c.Limit; last != nil {
			page.Last = *last
		}
		if id == nil {
			return nil
		}
		page.Events = append(page.Events, *id)
		switch {
		case workflow == nil:
			unnamed = append(unnamed, *id)
		case *workflow == "":
			own = append(own, *id)
		default:
			shared = append(shared, *workflow)
		}
		return nil
	})
	if err != nil {
		return hook.OutboxPage{}, mapErr(fmt.Errorf("claim unstarted events: %w", err))
	}
	slices.SortFunc(page.Events, func(a, b hook.EventID) int { return bytes.Compare(a[:], b[:]) })
	slices.Sort(shared)
	shared = slices.Compact(shared)
	if page.Unnamed, page.Named, err = s.startsOf(ctx, c.Process, unnamed, own, shared); err != nil {
		return page, mapErr(fmt.Errorf("list unstarted events: %w", err))
	}
	return page, nil
}

func claimStatement(c *hook.OutboxClaim) (sql string, args pgx.StrictNamedArgs) {
	args = pgx.StrictNamedArgs{
		"age": c.Age, "for": c.For, "after": [16]byte(c.After), "limit": c.Limit,
		"process": [16]byte(c.Process), "dead": hook.DeadAfter, "owned": hook.OwnedFor,
	}
	if len(c.Except) == 0 {
		return fmt.Sprintf(claimSQL, ""), args
	}
	// A sub-query is hashed once; "<> all" of a parameter is not.
	args["except"] = raw(c.Except)
	return fmt.Sprintf(claimSQL, "and event_id not in (select unnest(@except::uuid[]))"), args
}

// The page is bounded before its rows are checked for claims. By the planner's estimates of that check, it might
// otherwise read and sort the whole table for each page. Living processes are few, and are read once.
const claimSQL = `
	with page as materialized (
		select event_id from outbox where event_id > @after order by event_id limit @limit
	), claimed as (
		update outbox set claimed_until = now() + @for::interval,
			workflow_id = case when claimed_until is null and workflow_id is null then '' else workflow_id end
		where event_id = any(array(
			select event_id from outbox
			where event_id = any(array(select event_id from page))
				and created_at < now() - @age::interval and coalesce(claimed_until, '-infinity') <= now()
				and (owner is null or owner <> all(array(` + othersAlive + `)) or created_at < now() - @owned::interval) %s
			order by event_id for update skip locked))
		returning event_id, workflow_id
	)
	select p.looked, p.last, c.event_id, c.workflow_id
	from (select count(*)::int as looked, (select event_id from page order by event_id desc limit 1) as last from page) p left join claimed c on true`

// othersAlive selects the other processes that are alive.
const othersAlive = `select id from processes where id <> @process and heartbeat_at > now() - @dead::interval`

// startsOf reads three kinds of events, without their targets: those whose workflow has no name, those with a
// workflow of their own, and all events of the shared workflows. The starts have the owner of each event that another
// living process owns, claimed or not: it may be making first attempts of events that share a workflow with claimed ones.
func (s *Store) startsOf(ctx context.Context, process hook.ProcessID, unnamed, own []hook.EventID, shared []string) (fresh []hook.Start, named [][]hook.Start, err error) {
	if len(unnamed)+len(own)+len(shared) == 0 {
		return nil, nil, nil
	}
	events := slices.Concat(unnamed, own)
	workflows := make([]string, len(events))
	if events, workflows, err = s.addMembers(ctx, events, workflows, shared); err != nil {
		return nil, nil, err
	}
	rows, _ := s.pool.Query(ctx, startsSQL, argsOfConstant(startsArgs(process, events, workflows)))
	list, err := collectStarts(rows)
	if err != nil {
		return nil, nil, err
	}
	isFresh := make(map[hook.EventID]bool, len(unnamed))
	for _, id := range unnamed {
		isFresh[id] = true
	}
	rest := list[:0]
	for i := range list {
		if isFresh[list[i].EventID] {
			fresh = append(fresh, list[i])
		} else {
			rest = append(rest, list[i])
		}
	}
	return fresh, byWorkflow(rest), nil
}

// The offsets make the planner look up events and rows of the outbox by their keys.
const startsSQL = `
	select e.id, e.tenant_id, e.type, e.cache, e.deliveries, k.workflow_id, e.trace, octet_length(e.data), o.owner
	from unnest(@events::uuid[], @workflows::text[]) as k(event_id, workflow_id)
	cross join lateral (select * from events e where e.id = k.event_id offset 0) e
	left join lateral (
		select o.owner from outbox o where o.event_id = k.event_id and o.owner = any(array(` + othersAlive + `)) offset 0) o on true
	order by e.id`

func startsArgs(process hook.ProcessID, events []hook.EventID, workflows []string) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{"events": raw(events), "workflows": workflows, "process": [16]byte(process), "dead": hook.DeadAfter}
}

// addMembers adds the events of shared workflows.
func (s *Store) addMembers(ctx context.Context, events []hook.EventID, workflows, shared []string) ([]hook.EventID, []string, error) {
	if len(shared) == 0 {
		return events, workflows, nil
	}
	rows, _ := s.pool.Query(ctx, `select event_id, workflow_id from shared_workflows where workflow_id = any($1)`, shared)
	var event hook.EventID
	var workflow string
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&event), &workflow}, func() error {
		events, workflows = append(events, event), append(workflows, workflow)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list events of %d workflows: %w", len(shared), err)
	}
	return events, workflows, nil
}

// Unclaim gives claimed events back that were not started. An event that another process has claimed since is given
// back with them; that costs a second start, which finds the first.
func (s *Store) Unclaim(ctx context.Context, events []hook.EventID) error {
	_, err := s.pool.Exec(ctx, `
		update outbox set claimed_until = '-infinity' where event_id = any(array(
			select event_id from outbox where event_id = any($1) order by event_id for no key update))`, raw(events))
	if err != nil {
		return mapErr(fmt.Errorf("unclaim %d events: %w", len(events), err))
	}
	return nil
}

func collectStarts(rows pgx.Rows) ([]hook.Start, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (hook.Start, error) {
		var st hook.Start
		var trace []byte
		var owner *[16]byte
		err := row.Scan((*[16]byte)(&st.EventID), (*[16]byte)(&st.TenantID), &st.EventType, &st.Cache, &st.Deliveries, &st.WorkflowID, &trace, &st.Bytes, &owner)
		if st.Trace = hook.TraceOf(trace); owner != nil {
			st.Owner = *owner
		}
		return st, err
	})
}

// byWorkflow groups the starts that share a workflow, each group at the place of its first start.
func byWorkflow(list []hook.Start) [][]hook.Start {
	var all [][]hook.Start
	place := map[string]int{}
	for i := range list {
		workflow := list[i].WorkflowID
		if at, ok := place[workflow]; ok && workflow != "" {
			all[at] = append(all[at], list[i])
			continue
		}
		place[workflow] = len(all)
		all = append(all, list[i:i+1:i+1])
	}
	return all
}

// ShareWorkflow names the workflow of events before it is started: the one that they share, or, if the name is empty,
// each event's own. It returns the events that it has named; the others have a name already, from a sweeper or from a
// starter of another process.
func (s *Store) ShareWorkflow(ctx context.Context, workflowID string, events []hook.EventID) ([]hook.EventID, error) {
	sql := nameSQL
	if workflowID != "" {
		sql = `
		with given as (` + nameSQL + `), named as (
			insert into shared_workflows (event_id, workflow_id) select event_id, $1 from given
		)
		select event_id from given`
	}
	rows, _ := s.pool.Query(ctx, sql, workflowID, raw(events))
	given, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.EventID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("name the workflow of %d events: %w", len(events), err))
	}
	return given, nil
}

const nameSQL = `
	update outbox set workflow_id = $1 where event_id = any(array(
		select event_id from outbox where event_id = any($2) and workflow_id is null order by event_id for update))
	returning event_id`

// unattemptedLook bounds how many of an event's deliveries Unattempted looks at.
const unattemptedLook = 100

// Unattempted counts the events that have a due delivery which is neither attempted nor deferred. Of an event with
// many deliveries it looks at the last hundred, which are sent last.
func (s *Store) Unattempted(ctx context.Context, events []hook.EventID) (n int, err error) {
	args := sliceArgs(events, 0, 1)
	args["look"] = unattemptedLook
	err = s.pool.QueryRow(ctx, `
		select count(*) from unnest(@events::uuid[], @los::uuid[], @his::uuid[]) as k(event_id, lo, hi)
		where exists (
			select from (
				select d.attempts, d.next_attempt_at, d.parked, d.state from deliveries d
				where d.id between k.lo and k.hi and d.event_id = k.event_id order by d.id desc limit @look) d
			where d.attempts = 0 and d.next_attempt_at <= now() and not d.parked and d.state <> 'sending')`, args).Scan(&n)
	if err != nil {
		return 0, mapErr(fmt.Errorf("count unattempted events of %d: %w", len(events), err))
	}
	return n, nil
}

// Targets returns the first webhooks of each event.
func (s *Store) Targets(ctx context.Context, events []hook.EventID) (map[hook.EventID][]hook.Target, error) {
	args := sliceArgs(events, 0, 1)
	args["targets"] = hook.MaxTargets
	rows, _ := s.pool.Query(ctx, `
		select t.event_id, t.webhook_id, coalesce(w.url, '')
		from unnest(@events::uuid[], @los::uuid[], @his::uuid[]) as k(event_id, lo, hi)
		cross join lateral (
			select d.event_id, d.webhook_id from deliveries d
			where d.id between k.lo and k.hi and d.event_id = k.event_id order by d.id limit @targets) t
		left join webhooks w on w.id = t.webhook_id order by t.webhook_id`, args)
	targets := make(map[hook.EventID][]hook.Target, len(events))
	var event hook.EventID
	var t hook.Target
	var url string
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&event), (*[16]byte)(&t.WebhookID), &url}, func() error {
		t.Host = hook.HostOf(url)
		targets[event] = append(targets[event], t)
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list targets of %d events: %w", len(events), err))
	}
	return targets, nil
}
