package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Started removes events from the outbox: their workflows run.
func (s *Store) Started(ctx context.Context, events []hook.EventID) error {
	_, err := s.pool.Exec(ctx, `delete from outbox where event_id = any($1)`, raw(events))
	if err != nil {
		return mapErr(fmt.Errorf("mark %d events started: %w", len(events), err))
	}
	return nil
}

// Unstarted lists what was accepted longer ago than age and whose workflow has not
// been started (design: sweeper), oldest first, events after the given one, at most
// limit of them, and all that share a workflow with them, in the outbox or not: a
// workflow is the same whoever starts it. It takes them over: no burst gets them any
// more, so that nothing is started by two.
func (s *Store) Unstarted(ctx context.Context, age time.Duration, after hook.EventID, limit int) ([]hook.Start, error) {
	args := pgx.StrictNamedArgs{"age": age, "after": [16]byte(after), "limit": limit}
	_, err := s.pool.Exec(ctx, `
		update outbox set workflow_id = '' where workflow_id is null and event_id = any(array(
			select event_id from outbox where event_id > @after and created_at < now() - @age::interval
			order by event_id limit @limit for update))`, args)
	if err != nil {
		return nil, mapErr(fmt.Errorf("take over unstarted events: %w", err))
	}
	rows, _ := s.pool.Query(ctx, `
		with old as (
			select event_id, workflow_id from outbox where event_id > @after and created_at < now() - @age::interval
			order by event_id limit @limit
		), taken as (
			select event_id, workflow_id from old where workflow_id = ''
			union
			select s.event_id, s.workflow_id from shared_workflows s
			where s.workflow_id = any(array(select workflow_id from old where workflow_id <> ''))
		)
		select e.id, e.tenant_id, e.type, e.cache, e.deliveries, t.workflow_id, e.trace, octet_length(e.data)
		from taken t cross join lateral (select * from events e where e.id = t.event_id offset 0) e order by e.id`, args)
	list, err := collectStarts(rows)
	if err != nil {
		return nil, mapErr(fmt.Errorf("list unstarted events: %w", err))
	}
	if err := s.addTargets(ctx, list); err != nil {
		return nil, err
	}
	return joinShared(list), nil
}

func collectStarts(rows pgx.Rows) ([]hook.Start, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (hook.Start, error) {
		var st hook.Start
		var trace []byte
		err := row.Scan((*[16]byte)(&st.EventID), (*[16]byte)(&st.TenantID), &st.EventType, &st.Cache, &st.Deliveries, &st.WorkflowID, &trace, &st.Bytes)
		st.Trace = hook.TraceOf(trace)
		return st, err
	})
}

// joinShared makes one start of those that share a workflow, in the place of the
// first.
func joinShared(list []hook.Start) []hook.Start {
	shared := map[string][]hook.Start{}
	for _, st := range list {
		shared[st.WorkflowID] = append(shared[st.WorkflowID], st)
	}
	starts := list[:0]
	for _, st := range list {
		switch members := shared[st.WorkflowID]; {
		case st.WorkflowID == "":
			starts = append(starts, st)
		case members[0].EventID == st.EventID:
			starts = append(starts, hook.Share(st.WorkflowID, members))
		}
	}
	return starts
}

// ShareWorkflow gives events, before it is started, to a workflow of a burst, and
// returns those that it got: the others have been taken over by a sweeper.
func (s *Store) ShareWorkflow(ctx context.Context, workflowID string, events []hook.EventID) ([]hook.EventID, error) {
	rows, _ := s.pool.Query(ctx, `
		with given as (
			update outbox set workflow_id = $1 where event_id = any(array(
				select event_id from outbox where event_id = any($2) and workflow_id is null order by event_id for update))
			returning event_id
		), named as (
			insert into shared_workflows (event_id, workflow_id) select event_id, $1 from given
		)
		select event_id from given`, workflowID, raw(events))
	given, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.EventID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("share a workflow among %d events: %w", len(events), err))
	}
	return given, nil
}

// addTargets names the first webhooks of each event.
func (s *Store) addTargets(ctx context.Context, starts []hook.Start) error {
	events := make([]hook.EventID, len(starts))
	for i := range starts {
		events[i] = starts[i].EventID
	}
	args := sliceArgs(events, 0, 1)
	args["targets"] = hook.MaxTargets
	rows, _ := s.pool.Query(ctx, `
		select t.event_id, t.webhook_id, coalesce(w.url, '')
		from unnest(@events::uuid[], @los::uuid[], @his::uuid[]) as k(event_id, lo, hi)
		cross join lateral (
			select d.event_id, d.webhook_id from deliveries d
			where d.id between k.lo and k.hi and d.event_id = k.event_id order by d.id limit @targets) t
		left join webhooks w on w.id = t.webhook_id order by t.webhook_id`, args)
	targets := make(map[hook.EventID][]hook.Target, len(starts))
	var event hook.EventID
	var t hook.Target
	var url string
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&event), (*[16]byte)(&t.WebhookID), &url}, func() error {
		t.Host = hook.HostOf(url)
		targets[event] = append(targets[event], t)
		return nil
	})
	if err != nil {
		return mapErr(fmt.Errorf("list targets of unstarted events: %w", err))
	}
	for i := range starts {
		starts[i].Targets = targets[starts[i].EventID]
	}
	return nil
}

// The advisory locks that let one process sweep, and one reconcile, at a time. The
// numbers are arbitrary and only have to differ from each other and from goose's.
const (
	sweepLock     = 0x67726170_6e656c01
	reconcileLock = 0x67726170_6e656c02
)

// Exclusively runs f, which sweeps, in one process at a time; where another one is at
// it, it returns false at once. The lock goes with the connection, so it is let go when
// the process dies.
func (s *Store) Exclusively(ctx context.Context, f func(context.Context) error) (ran bool, err error) {
	if ran, err = s.exclusively(ctx, sweepLock, f); err != nil {
		return ran, mapErr(fmt.Errorf("sweep: %w", err))
	}
	return ran, nil
}

// Reconciling is Exclusively for the reconciler.
func (s *Store) Reconciling(ctx context.Context, f func(context.Context) error) (ran bool, err error) {
	if ran, err = s.exclusively(ctx, reconcileLock, f); err != nil {
		return ran, mapErr(fmt.Errorf("reconcile: %w", err))
	}
	return ran, nil
}

func (s *Store) exclusively(ctx context.Context, lock int64, f func(context.Context) error) (ran bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock($1)`, lock).Scan(&ran); err != nil || !ran {
			return err
		}
		return f(ctx)
	})
	return ran, err
}
