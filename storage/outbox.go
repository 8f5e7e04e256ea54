package storage

import (
	"context"
	"fmt"
	"net/url"
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

// Unstarted lists events that were accepted longer ago than age and whose
// workflow has not been started, oldest first, at most limit (design: sweeper).
func (s *Store) Unstarted(ctx context.Context, age time.Duration, limit int) ([]hook.Start, error) {
	rows, _ := s.pool.Query(ctx, `
		select e.id, e.tenant_id, e.type, e.deliveries
		from (select event_id, created_at from outbox where created_at < now() - @age::interval order by created_at limit @limit) o
		join events e on e.id = o.event_id order by o.created_at`, pgx.StrictNamedArgs{"age": age, "limit": limit})
	starts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hook.Start, error) {
		var st hook.Start
		err := row.Scan((*[16]byte)(&st.EventID), (*[16]byte)(&st.TenantID), &st.EventType, &st.Deliveries)
		return st, err
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list unstarted events: %w", err))
	}
	for i := range starts {
		if starts[i].Targets, err = s.targets(ctx, starts[i].EventID); err != nil {
			return nil, err
		}
	}
	return starts, nil
}

func (s *Store) targets(ctx context.Context, event hook.EventID) ([]hook.Target, error) {
	lo, hi := deliveryRange(event)
	rows, _ := s.pool.Query(ctx, `
		select d.webhook_id, coalesce(w.url, '') from deliveries d left join webhooks w on w.id = d.webhook_id
		where d.id between @lo and @hi and d.event_id = @event_id order by d.webhook_id limit @limit`,
		pgx.StrictNamedArgs{"lo": lo, "hi": hi, "event_id": [16]byte(event), "limit": hook.MaxTargets})
	targets, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hook.Target, error) {
		var t hook.Target
		var raw string
		err := row.Scan((*[16]byte)(&t.WebhookID), &raw)
		if u, parseErr := url.Parse(raw); parseErr == nil {
			t.Host = u.Host
		}
		return t, err
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list targets of event %s: %w", event, err))
	}
	return targets, nil
}

// sweepLock is the advisory lock that lets one process sweep at a time. The
// number is arbitrary and only has to differ from goose's.
const sweepLock = 0x67726170_6e656c01

// Exclusively runs f in one process at a time; where another one is at it, it
// returns false at once. The lock goes with the connection, so it is let go when
// the process dies.
func (s *Store) Exclusively(ctx context.Context, f func(context.Context) error) (ran bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock($1)`, int64(sweepLock)).Scan(&ran); err != nil || !ran {
			return err
		}
		return f(ctx)
	})
	if err != nil {
		return ran, mapErr(fmt.Errorf("sweep: %w", err))
	}
	return ran, nil
}
