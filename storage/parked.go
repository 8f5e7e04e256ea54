package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Park hands deliveries over to the drains of their webhooks: those of them that are
// outstanding are no longer their events' workflows'.
func (s *Store) Park(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error {
	sorted := sortedIDs(ids)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			with draining as (select webhook_id from drains where webhook_id = any($1) order by webhook_id for key share)
			insert into drains (webhook_id) select distinct id from unnest($1::uuid[]) as id
			where id not in (select webhook_id from draining) order by id
			on conflict (webhook_id) do update set due_at = drains.due_at`, raw(webhooks))
		if err != nil {
			return err
		}
		// As in move: by primary key, in its order, without saying "outstanding".
		_, err = tx.Exec(ctx, `
			update deliveries set parked = true, updated_at = now()
			where id between $2 and $3 and id = any(array(
				select id from deliveries where id between $2 and $3 and id = any($1) order by id for update))`,
			raw(sorted), [16]byte(sorted[0]), [16]byte(sorted[len(sorted)-1]))
		return err
	})
	if err != nil {
		return mapErr(fmt.Errorf("park %d deliveries: %w", len(ids), err))
	}
	return nil
}

// mostCounted bounds how far a backlog is counted.
const mostCounted = 10_000

// Parked loads what is parked of a webhook's deliveries, the longest due first, at
// most limit of them.
func (s *Store) Parked(ctx context.Context, webhook hook.WebhookID, limit int) (hook.Backlog, error) {
	var b hook.Backlog
	err := s.pool.QueryRow(ctx, `
		select (select tripped_at from webhooks where id = $1), (select paused_at from webhooks where id = $1),
			(select count(*) from (
				select from deliveries where webhook_id = $1 and parked and next_attempt_at is not null limit $2) n)`,
		[16]byte(webhook), mostCounted).Scan(&b.TrippedAt, &b.PausedAt, &b.Waiting)
	if err != nil {
		return b, mapErr(fmt.Errorf("count parked deliveries of %s: %w", webhook, err))
	}
	if b.Waiting == 0 {
		return b, nil
	}
	b.Jobs, err = s.jobs(ctx, `
		from (
			select * from deliveries where webhook_id = @webhook and parked and next_attempt_at is not null
			order by next_attempt_at limit @limit
		) d order by d.next_attempt_at, d.id`,
		pgx.StrictNamedArgs{"webhook": [16]byte(webhook), "limit": limit})
	return b, err
}

// ExpireParked fails those of a webhook's parked deliveries whose event is older than
// age, for good and without another attempt, and returns how many, at most limit: the
// endpoint has been unavailable for too long (spec 9). The time for which the webhook was
// paused does not count. One whose outcome is unknown is not touched.
func (s *Store) ExpireParked(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (n int, err error) {
	err = s.publishingOwn(ctx, func(tx pgx.Tx, happened *occurrences) error {
		// The webhook before its deliveries, as everywhere.
		var resumed time.Time
		err := tx.QueryRow(ctx, `
			select coalesce(max(resumed_at), to_timestamp(0)) from (select resumed_at from webhooks where id = $1 for update) w`,
			[16]byte(webhook)).Scan(&resumed)
		if err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `
			update deliveries d set state = 'failed', error = $3, next_attempt_at = null, updated_at = now()
			where id = any(array(
				select id from deliveries
				where webhook_id = $1 and parked and next_attempt_at is not null and state <> 'sending'
					and greatest(created_at, $5) < now() - $2::interval
				order by id limit $4 for update))
			returning `+deliveryColumns, [16]byte(webhook), age, hook.TextUnavailable, limit, resumed)
		expired, err := collectDeliveries(rows)
		if err != nil || len(expired) == 0 {
			return err
		}
		n = len(expired)
		happened.failed(expired)
		_, err = tx.Exec(ctx, `update webhooks set health = 'failed', failing_since = coalesce(failing_since, now()) where id = $1`, [16]byte(webhook))
		return err
	})
	if err != nil {
		return 0, mapErr(fmt.Errorf("expire parked deliveries of %s: %w", webhook, err))
	}
	s.metrics.Ended(hook.StateFailed, n)
	return n, nil
}

// Trip opens or closes the circuit breaker of a webhook. While it is open, what is due
// is parked; only the drain sends, to find out whether the endpoint is back.
func (s *Store) Trip(ctx context.Context, webhook hook.WebhookID, open bool) error {
	tag, err := s.pool.Exec(ctx, `
		update webhooks set tripped_at = case when $2 then now() end where id = $1 and (tripped_at is null) = $2`, [16]byte(webhook), open)
	if err != nil {
		return mapErr(fmt.Errorf("trip webhook %s: %w", webhook, err))
	}
	if tag.RowsAffected() > 0 {
		s.metrics.Breaker(open)
	}
	return nil
}

// DrainSleeps says when the drain of a webhook will look again, unless it is to look now.
func (s *Store) DrainSleeps(ctx context.Context, webhook hook.WebhookID, in time.Duration) error {
	_, err := s.pool.Exec(ctx, `update drains set due_at = clock_timestamp() + $2::interval where webhook_id = $1 and due_at > '-infinity'`, [16]byte(webhook), in)
	if err != nil {
		return mapErr(fmt.Errorf("note when the drain of %s looks again: %w", webhook, err))
	}
	return nil
}

// DrainEnds ends the drain of a webhook unless something is parked for it. Whoever parks
// holds a lock on the drain's row that others who do can hold too, so that they don't wait
// for each other; this one waits for all of them, and sees what they have parked.
func (s *Store) DrainEnds(ctx context.Context, webhook hook.WebhookID) (ended bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from drains where webhook_id = $1 for update`, [16]byte(webhook)); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			select not exists (select from deliveries where webhook_id = $1 and parked and next_attempt_at is not null)`,
			[16]byte(webhook)).Scan(&ended)
		if err != nil || !ended {
			return err
		}
		_, err = tx.Exec(ctx, `delete from drains where webhook_id = $1`, [16]byte(webhook))
		return err
	})
	if err != nil {
		return false, mapErr(fmt.Errorf("end the drain of %s: %w", webhook, err))
	}
	return ended, nil
}

// wakeDrain has the drain of a webhook look now.
func wakeDrain(ctx context.Context, tx pgx.Tx, webhook hook.WebhookID) error {
	_, err := tx.Exec(ctx, `update drains set due_at = '-infinity' where webhook_id = $1`, [16]byte(webhook))
	return err
}

// LostDrains lists webhooks whose drain should have looked longer ago than age, or is to
// look now, and gives each as long again, so that nobody starts it meanwhile. The lock is
// one that publishes leave room for: each of a webhook that is held shares its drain's row.
func (s *Store) LostDrains(ctx context.Context, age time.Duration, limit int) ([]hook.WebhookID, error) {
	rows, _ := s.pool.Query(ctx, `
		update drains set due_at = clock_timestamp() where webhook_id = any(array(
			select webhook_id from drains where due_at < now() - $1::interval order by webhook_id limit $2 for no key update skip locked))
		returning webhook_id`, age, limit)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.WebhookID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list lost drains: %w", err))
	}
	return list, nil
}
