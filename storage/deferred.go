package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"grapnel/internal/hook"
)

// Defer hands outstanding deliveries over to the drains of their webhooks: their events' workflows no longer send
// them.
func (s *Store) Defer(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error {
	sorted := sortedIDs(ids)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			with draining as (select webhook_id, idle from drains where webhook_id = any($1) order by webhook_id for key share), `+wakeIdle+`
			insert into drains (webhook_id) select distinct id from unnest($1::uuid[]) as id
			where id not in (select webhook_id from draining) order by id
			`+alreadyDraining, raw(webhooks))
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
		return mapErr(fmt.Errorf("defer %d deliveries: %w", len(ids), err))
	}
	return nil
}

// A transaction that defers holds a shared lock on the drain's row (draining), so that several don't wait for each
// other. If the drain sleeps because nothing is due, the first of them wakes it. The others skip the row while the
// first holds it, even if its statement fails after all: then the drain looks again when its sleep ends.
const (
	wakeIdle = `sleeper as (
				select webhook_id, idle from drains where webhook_id in (select webhook_id from draining where idle)
				order by webhook_id for no key update skip locked
			), woken as (
				update drains d set changes = changes + 1, due_at = '-infinity', idle = false
				from sleeper s where s.webhook_id = d.webhook_id and s.idle
			)`
	// alreadyDraining is for a row that was inserted after the statement had begun.
	alreadyDraining = `on conflict (webhook_id) do update set changes = drains.changes + drains.idle::int,
				due_at = case when drains.idle then '-infinity' else drains.due_at end, idle = false`
)

// maxDeferredCounted bounds how many deferred deliveries of a webhook are counted.
const maxDeferredCounted = 10_000

// unrevoked is the SQL condition that a delivery d of the webhook may be sent. Both values come from sub-queries, so
// that they are looked up once, and nothing is read if the webhook has ended.
const unrevoked = `(select active from webhooks where id = @webhook) and coalesce(d.generation >= (select generation from webhooks where id = @webhook), true)`

// Deferred loads a webhook's deferred deliveries that are not revoked, the longest due first, at most limit of them.
// It clears all earlier requests to wake the drain; after a later one, DrainSleeps returns false.
func (s *Store) Deferred(ctx context.Context, webhook hook.WebhookID, limit int) (hook.DeferredPage, error) {
	var b hook.DeferredPage
	batch := &pgx.Batch{}
	// A change by an older binary shows in due_at only.
	batch.Queue(`update drains set due_at = clock_timestamp(), idle = false where webhook_id = $1 and (idle or due_at = '-infinity')`, [16]byte(webhook))
	batch.Queue(`
		select (select tripped_at from webhooks where id = @webhook), (select paused_at from webhooks where id = @webhook),
			(select suspended_at from webhooks where id = @webhook), coalesce((select changes from drains where webhook_id = @webhook), 0),
			(select count(*) from (
				select from deliveries d where webhook_id = @webhook and parked and next_attempt_at is not null and `+unrevoked+` limit @most) n)`,
		pgx.StrictNamedArgs{"webhook": [16]byte(webhook), "most": maxDeferredCounted}).QueryRow(func(row pgx.Row) error {
		return row.Scan(&b.TrippedAt, &b.PausedAt, &b.SuspendedAt, &b.Changes, &b.Waiting)
	})
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return b, mapErr(fmt.Errorf("count deferred deliveries of %s: %w", webhook, err))
	}
	if b.Waiting == 0 {
		return b, nil
	}
	var err error
	b.Jobs, err = s.jobs(ctx, `
		from (
			select * from deliveries d where webhook_id = @webhook and parked and next_attempt_at is not null and `+unrevoked+`
			order by next_attempt_at limit @limit
		) d order by d.next_attempt_at, d.id`,
		pgx.StrictNamedArgs{"webhook": [16]byte(webhook), "limit": limit})
	return b, err
}

// ExpireDeferred fails those of a webhook's deferred deliveries whose event is older than age, for good and without
// another attempt, at most limit of them: the endpoint has been unavailable for too long (spec 9). The time for which
// the webhook was paused does not count. A delivery whose outcome is unknown is left alone.
func (s *Store) ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error) {
	var ended []hook.DeliveryID
	starts, err := s.withOperationalEvents(ctx, func(tx pgx.Tx, events *operationalEvents) error {
		// Webhooks are locked before deliveries, as everywhere.
		var resumed time.Time
		err := tx.QueryRow(ctx, `
			select coalesce(max(resumed_at), to_timestamp(0)) from (select resumed_at from webhooks where id = $1 for update) w`,
			[16]byte(webhook)).Scan(&resumed)
		if err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `
			update deliveries d set state = 'failed', error = @error, next_attempt_at = null, updated_at = now()
			where id = any(array(
				select id from deliveries d
				where webhook_id = @webhook and parked and next_attempt_at is not null and state <> 'sending' and `+unrevoked+`
					and greatest(created_at, @resumed) < now() - @age::interval
				order by id limit @limit for update))
			returning `+deliveryColumns, pgx.StrictNamedArgs{
			"webhook": [16]byte(webhook), "age": age, "error": hook.TextUnavailable, "limit": limit, "resumed": resumed,
		})
		expired, err := collectDeliveries(rows)
		if err != nil || len(expired) == 0 {
			return err
		}
		for i := range expired {
			ended = append(ended, expired[i].ID)
		}
		events.failed(expired)
		if err := countFailed(ctx, tx, expired); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update webhooks set health = 'failed', failing_since = coalesce(failing_since, now()) where id = $1`, [16]byte(webhook))
		return err
	})
	if err != nil {
		return hook.Ended{}, mapErr(fmt.Errorf("expire deferred deliveries of %s: %w", webhook, err))
	}
	s.metrics.Ended(hook.StateFailed, len(ended))
	return hook.Ended{Deliveries: ended, Starts: starts}, nil
}

// SetBreaker opens or closes the circuit breaker of a webhook. While it is open, due deliveries are deferred; only
// the drain sends, to find out whether the endpoint is back.
func (s *Store) SetBreaker(ctx context.Context, webhook hook.WebhookID, open bool) error {
	tag, err := s.pool.Exec(ctx, `
		update webhooks set tripped_at = case when $2 then now() end where id = $1 and (tripped_at is null) = $2`, [16]byte(webhook), open)
	if err != nil {
		return mapErr(fmt.Errorf("set the breaker of webhook %s: %w", webhook, err))
	}
	if tag.RowsAffected() > 0 {
		s.metrics.Breaker(open)
	}
	return nil
}

// DrainSleeps stores until when the drain of a webhook sleeps. It stores nothing and returns false if something has
// changed since the drain looked: the drain has to look again. A drain that sleeps because nothing is due waits here
// for transactions that are deferring, and sees what they have deferred; later ones see that it is idle. The
// statements are sent together, so that a process that stands still holds no lock.
func (s *Store) DrainSleeps(ctx context.Context, webhook hook.WebhookID, n hook.Nap) (asleep bool, err error) {
	batch := &pgx.Batch{}
	var until *time.Time
	if !n.Until.IsZero() {
		until = &n.Until
		batch.Queue(lockDrain, [16]byte(webhook))
	}
	batch.Queue(`
		update drains set due_at = clock_timestamp() + @in::interval, idle = @until::timestamptz is not null,
			probe_at = clock_timestamp() + @probe_in::interval
		where webhook_id = @webhook and changes = @changes and due_at > '-infinity' and (@until::timestamptz is null or not exists (
			select from deliveries d where webhook_id = @webhook and parked and next_attempt_at is not null and next_attempt_at < @until and `+unrevoked+`))`,
		pgx.StrictNamedArgs{"webhook": [16]byte(webhook), "in": n.In, "changes": n.Changes, "until": until, "probe_in": n.ProbeIn}).Exec(func(tag pgconn.CommandTag) error {
		asleep = tag.RowsAffected() > 0
		return nil
	})
	// Without a row there is nothing to store, and nothing has changed.
	batch.Queue(`select not exists (select from drains where webhook_id = $1)`, [16]byte(webhook)).QueryRow(func(row pgx.Row) error {
		var gone bool
		err := row.Scan(&gone)
		asleep = asleep || gone
		return err
	})
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return false, mapErr(fmt.Errorf("put the drain of %s to sleep: %w", webhook, err))
	}
	return asleep, nil
}

// lockDrain waits for transactions that are deferring. Later statements of its transaction see what they have
// deferred.
const lockDrain = `select from drains where webhook_id = $1 for update`

// DrainEnds ends the drain of a webhook unless the webhook has deferred deliveries, or something has changed since
// the drain looked. It leaves revoked deliveries to a cancellation. As in DrainSleeps, it waits for transactions that
// are deferring.
func (s *Store) DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (ended bool, err error) {
	batch := &pgx.Batch{}
	batch.Queue(lockDrain, [16]byte(webhook))
	batch.Queue(`
		delete from drains where webhook_id = @webhook and changes = @changes and not exists (
			select from deliveries d where webhook_id = @webhook and parked and next_attempt_at is not null and `+unrevoked+`)`,
		pgx.StrictNamedArgs{"webhook": [16]byte(webhook), "changes": changes})
	batch.Queue(cancelRest, [16]byte(webhook), hook.TextWebhookDisabled, hook.TextWebhookDeleted)
	batch.Queue(`select not exists (select from drains where webhook_id = $1)`, [16]byte(webhook)).QueryRow(func(row pgx.Row) error {
		return row.Scan(&ended)
	})
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return false, mapErr(fmt.Errorf("end the drain of %s: %w", webhook, err))
	}
	return ended, nil
}

// wakeDrain makes the drain of a webhook look now, whatever it sleeps for.
func wakeDrain(ctx context.Context, tx pgx.Tx, webhook hook.WebhookID) error {
	_, err := tx.Exec(ctx, `update drains set changes = changes + 1, due_at = '-infinity', idle = false, probe_at = null where webhook_id = $1`, [16]byte(webhook))
	return err
}

// LostDrains lists webhooks whose drain should have looked longer ago than age, or is to look now. It gives each
// drain age more, so that no other process starts it meanwhile. The lock mode is compatible with the shared lock that
// a publish takes on the drain of each webhook whose deliveries it defers.
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
