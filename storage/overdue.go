package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Overdue lists the events of deliveries whose attempt has been due for longer than age, the longest first, after the
// mark. It reads at most limit deliveries. Events in the outbox are left to the sweeper. It returns the mark to go on
// from, the zero mark at the end. Its cost depends only on what is overdue.
func (s *Store) Overdue(ctx context.Context, age time.Duration, after hook.OverdueMark, limit int) ([]hook.Overdue, hook.OverdueMark, error) {
	rows, _ := s.pool.Query(ctx, `
		with due as (
			select d.id, d.event_id, d.next_attempt_at from deliveries d
			where d.next_attempt_at < now() - @age::interval and not d.test and not d.parked
				and (d.next_attempt_at, d.id) > (@due_at::timestamptz, @id::uuid)
			order by d.next_attempt_at, d.id limit @limit
		)
		select d.id, d.event_id, d.next_attempt_at, coalesce(s.workflow_id, ''),
			exists (select from outbox o where o.event_id = d.event_id)
		from due d left join lateral (select * from shared_workflows s where s.event_id = d.event_id offset 0) s on true
		order by d.next_attempt_at, d.id`, pgx.StrictNamedArgs{
		"age": age, "due_at": after.DueAt, "id": [16]byte(after.DeliveryID), "limit": limit,
	})
	var list []hook.Overdue
	var o hook.Overdue
	var mark hook.OverdueMark
	var unstarted bool
	seen := map[hook.EventID]bool{}
	tag, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&mark.DeliveryID), (*[16]byte)(&o.EventID), &mark.DueAt, &o.WorkflowID, &unstarted}, func() error {
		if !unstarted && !seen[o.EventID] {
			seen[o.EventID] = true
			list = append(list, o)
		}
		return nil
	})
	if err != nil {
		return nil, hook.OverdueMark{}, mapErr(fmt.Errorf("list overdue deliveries: %w", err))
	}
	if tag.RowsAffected() < int64(limit) {
		mark = hook.OverdueMark{}
	}
	return list, mark, nil
}

// Restarts returns the starts that restart the workflows of overdue events: each with all of its events that have
// outstanding deliveries, overdue or not, since this one workflow delivers all of them. A workflow without such
// events is left out.
func (s *Store) Restarts(ctx context.Context, overdue []hook.Overdue) ([]hook.Start, error) {
	events, workflows, err := s.membersOf(ctx, overdue)
	if err != nil {
		return nil, err
	}
	args := sliceArgs(events, 0, 1)
	args["workflows"] = workflows
	rows, _ := s.pool.Query(ctx, `
		select e.id, e.tenant_id, e.type, e.cache, n.outstanding, k.workflow_id, e.trace, octet_length(e.data), null::uuid
		from unnest(@events::uuid[], @los::uuid[], @his::uuid[], @workflows::text[]) as k(event_id, lo, hi, workflow_id)
		cross join lateral (select * from events e where e.id = k.event_id offset 0) e
		cross join lateral (
			select count(*) as outstanding from (select * from deliveries d where d.id between k.lo and k.hi offset 0) d
			where d.event_id = k.event_id and d.next_attempt_at is not null and not d.test and not d.parked) n
		where n.outstanding > 0 order by e.id`, args)
	list, err := collectStarts(rows)
	if err != nil {
		return nil, mapErr(fmt.Errorf("list events to restart: %w", err))
	}
	starts := byWorkflow(list)
	targets, err := s.Targets(ctx, hook.NamedOf(starts))
	if err != nil {
		return nil, err
	}
	return hook.JoinStarts(starts, targets), nil
}

// membersOf returns all events of the workflows, each with its workflow's id, "" for its own.
func (s *Store) membersOf(ctx context.Context, list []hook.Overdue) (events []hook.EventID, workflows []string, err error) {
	var shared []string
	for _, o := range list {
		if o.WorkflowID != "" {
			shared = append(shared, o.WorkflowID)
			continue
		}
		events, workflows = append(events, o.EventID), append(workflows, "")
	}
	if events, workflows, err = s.addMembers(ctx, events, workflows, shared); err != nil {
		return nil, nil, mapErr(err)
	}
	return events, workflows, nil
}
