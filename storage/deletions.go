package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// deletionColumn is the progress of the deletion of a tenant t, as JSON; null if there is none.
const deletionColumn = `(select row_to_json(x) from (
		select p.phase, p.requested_at, p.updated_at, p.webhooks, p.canceled, p.events, p.deliveries
		from tenant_deletions p where p.tenant_id = t.id) x)`

// deletionRow is the value of deletionColumn.
type deletionRow struct {
	Phase       hook.DeletionPhase `json:"phase"`
	RequestedAt time.Time          `json:"requested_at"`
	UpdatedAt   time.Time          `json:"updated_at"`
	Webhooks    int64              `json:"webhooks"`
	Canceled    int64              `json:"canceled"`
	Events      int64              `json:"events"`
	Deliveries  int64              `json:"deliveries"`
}

func (r *deletionRow) deletion() *hook.Deletion {
	if r == nil {
		return nil
	}
	return &hook.Deletion{
		RequestedAt: r.RequestedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), Phase: r.Phase,
		Webhooks: r.Webhooks, Canceled: r.Canceled, Events: r.Events, Deliveries: r.Deliveries,
	}
}

// DeleteTenant begins the deletion of the tenant with an id or an external id (K8), and returns the tenant. From its commit on
// the tenant's keys are unknown and nothing can be published for it; when it returns, nothing is accepted or sent for
// it any more. The rest is done by DeletionStep. For a tenant that is being deleted already it changes nothing. The tenant "default"
// can't be deleted.
func (s *Store) DeleteTenant(ctx context.Context, name string) (t hook.Tenant, err error) {
	begun := false
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := findTenant(ctx, tx, name, ` for no key update`)
		if err != nil {
			return err
		}
		switch {
		case before.ID == hook.DefaultTenant():
			return &hook.Error{Kind: hook.KindPrecondition, Message: "the tenant default can't be deleted: platform keys belong to it"}
		case before.Status == hook.TenantDeleting:
			t = before
			return nil
		}
		if _, err := tx.Exec(ctx, `insert into tenant_deletions (tenant_id) values ($1)`, [16]byte(before.ID)); err != nil {
			return err
		}
		if t, err = oneTenant(ctx, tx, `
			update tenants t set status = 'deleting', updated_at = now() where t.id = $1 returning `+tenantColumns, [16]byte(before.ID)); err != nil {
			return err
		}
		if err := holdWebhooks(ctx, tx, t.ID, true); err != nil {
			return err
		}
		begun = true
		return auditTenant(ctx, tx, &before, &t)
	})
	if err != nil {
		return hook.Tenant{}, mapErr(fmt.Errorf("delete tenant: %w", err))
	}
	if begun {
		s.awaitHeld(ctx)
	}
	return t, nil
}

// The bounds of a step of a deletion. Each of its statements takes less than 50 ms.
const (
	deletionWebhooks   = 20
	deletionEvents     = 200
	deletionDeliveries = 500
	deletionAttempts   = 500
	deletionBytes      = 4 << 20
	deletionRows       = 1000
)

// deleting is a deletion whose row is locked by its step.
type deleting struct {
	tenant hook.TenantID
	step   hook.DeletionStep
	// These are the columns of tenant_deletions.
	lateWriters    []string
	eventCursor    hook.EventID
	deliveryCursor *hook.DeliveryID
	keyCursor      string
}

// DeletionStep makes the next step of the deletion of a tenant: one transaction with a bounded amount of work. It stores all
// or nothing, and may be repeated. If there is no such deletion, as after the last step, the error is hook.NoTenant.
func (s *Store) DeletionStep(ctx context.Context, tenant hook.TenantID) (hook.DeletionStep, error) {
	var step hook.DeletionStep
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		d, err := lockDeletion(ctx, tx, tenant)
		if err != nil {
			return err
		}
		switch d.step.Phase {
		case hook.DeletionCanceling:
			err = d.cancel(ctx, tx)
		case hook.DeletionErasing:
			err = d.erase(ctx, tx)
		case hook.DeletionFinishing:
			err = d.finish(ctx, tx)
		}
		if err == nil && !d.step.Gone {
			err = d.store(ctx, tx)
		}
		step = d.step
		return err
	})
	if err != nil {
		return hook.DeletionStep{}, mapErr(fmt.Errorf("delete tenant %s: %w", tenant, err))
	}
	return step, nil
}

func lockDeletion(ctx context.Context, tx pgx.Tx, tenant hook.TenantID) (*deleting, error) {
	d := &deleting{tenant: tenant}
	// With other plans, a page may read all rows of a day that has no statistics yet, or those that earlier pages have deleted.
	_, err := tx.Exec(ctx, `
		select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`)
	if err != nil {
		return nil, err
	}
	p := &d.step.Deletion
	var cursor *[16]byte
	err = tx.QueryRow(ctx, `
		select phase, requested_at, updated_at, webhooks, canceled, events, deliveries, late_writers, event_cursor, delivery_cursor, key_cursor
		from tenant_deletions where tenant_id = $1 for update`, [16]byte(tenant)).
		Scan((*string)(&p.Phase), &p.RequestedAt, &p.UpdatedAt, &p.Webhooks, &p.Canceled, &p.Events, &p.Deliveries, &d.lateWriters,
			(*[16]byte)(&d.eventCursor), &cursor, &d.keyCursor)
	d.deliveryCursor = (*hook.DeliveryID)(cursor)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, hook.NoTenant()
	}
	return d, err
}

// store stores the progress.
func (d *deleting) store(ctx context.Context, tx pgx.Tx) error {
	p := &d.step.Deletion
	p.UpdatedAt = time.Now().UTC().Truncate(time.Microsecond)
	_, err := tx.Exec(ctx, `
		update tenant_deletions set phase = $2, updated_at = $3, webhooks = $4, canceled = $5, events = $6, deliveries = $7,
			event_cursor = $8, delivery_cursor = $9, key_cursor = $10
		where tenant_id = $1`, [16]byte(d.tenant), string(p.Phase), p.UpdatedAt, p.Webhooks, p.Canceled, p.Events, p.Deliveries,
		[16]byte(d.eventCursor), (*[16]byte)(d.deliveryCursor), d.keyCursor)
	return err
}

// cancel ends the tenant's replays and deletes its webhooks, each as DeleteWebhook does. Replays are locked first, as by
// their steps: a replay that is canceled makes no deliveries. No webhook is added meanwhile (webhook_begins).
func (d *deleting) cancel(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		update replays set state = 'canceled', reason = $2, ended_at = now(), updated_at = now(), changes = changes + 1, due_at = '-infinity'
		where id = any(array(select id from replays where tenant_id = $1 and ended_at is null order by id limit $3 for update))`,
		[16]byte(d.tenant), hook.TextTenantDeleted, deletionRows)
	if err != nil {
		return fmt.Errorf("end replays: %w", err)
	}
	rows, _ := tx.Query(ctx, `
		with gone as (
			delete from webhooks where id = any(array(
				select id from webhooks where tenant_id = $1 order by id limit $2 for update))
			returning id, generation
		), canceled as (
			insert into cancellations (webhook_id, generation, reason) select id, generation + 1, $3 from gone
			on conflict (webhook_id, generation) do nothing
		)
		select id from gone`, [16]byte(d.tenant), deletionWebhooks, hook.TextWebhookDeleted)
	gone, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return fmt.Errorf("delete webhooks: %w", err)
	}
	d.step.Webhooks += int64(len(gone))
	if len(gone) > 0 {
		_, err = tx.Exec(ctx, `
			update drains set changes = changes + 1, due_at = '-infinity', idle = false, probe_at = null
			where webhook_id = any(array(select webhook_id from drains where webhook_id = any($1) order by webhook_id for no key update))`, gone)
		if err != nil {
			return fmt.Errorf("wake drains: %w", err)
		}
		return nil
	}
	// There are few cancellations, so they are looked at, and not the tenant's webhooks.
	err = tx.QueryRow(ctx, `
		select exists (
			select from cancellations c cross join lateral (
				select from deleted_webhooks w where w.id = c.webhook_id and w.tenant_id = $1 offset 0) w)`, [16]byte(d.tenant)).Scan(&d.step.Waiting)
	if err == nil && !d.step.Waiting {
		d.step.Phase = hook.DeletionErasing
	}
	return err
}

// finish deletes what is left of the tenant, and the tenant itself when that was all.
func (d *deleting) finish(ctx context.Context, tx pgx.Tx) error {
	more, err := d.deleteKeys(ctx, tx)
	if err != nil || more {
		return err
	}
	for _, table := range []string{
		"api_keys", "portal_sessions", "event_types", "topics", "signing_keys", "replays", "kept_answers", "deleted_webhooks",
	} {
		tag, err := tx.Exec(ctx, `delete from `+table+` where ctid = any(array(select ctid from `+table+` where tenant_id = $1 limit $2 for update))`,
			[16]byte(d.tenant), deletionRows)
		if err != nil {
			return fmt.Errorf("delete from %s: %w", table, err)
		}
		if tag.RowsAffected() == deletionRows {
			return nil
		}
	}
	// What a request that was authenticated before has stored since keeps the tenant by a foreign key; the next step deletes it.
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `delete from tenants where id = $1`, [16]byte(d.tenant))
		return err
	})
	if isReferred(err) {
		return nil
	}
	d.step.Gone = err == nil
	return err
}

// deleteKeys deletes a page of the tenant's idempotency keys. There may be millions, so a cursor leads over those that are
// deleted.
func (d *deleting) deleteKeys(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	var n int
	var last *string
	err = tx.QueryRow(ctx, `
		with gone as (
			delete from idempotency_keys where tenant_id = $1 and key = any(array(
				select key from idempotency_keys where tenant_id = $1 and key > $2 order by key limit $3 for update))
			returning key
		)
		select count(*)::int, max(key) from gone`, [16]byte(d.tenant), d.keyCursor, deletionRows).Scan(&n, &last)
	if err != nil {
		return false, fmt.Errorf("delete idempotency keys: %w", err)
	}
	if last != nil {
		d.keyCursor = *last
	}
	return n == deletionRows, nil
}

// DeletionSleeps stores when the workflow of a deletion will look again, so that one that is lost is noticed.
func (s *Store) DeletionSleeps(ctx context.Context, tenant hook.TenantID, in time.Duration) error {
	_, err := s.pool.Exec(ctx, `update tenant_deletions set due_at = clock_timestamp() + $2::interval where tenant_id = $1`, [16]byte(tenant), in)
	if err != nil {
		return mapErr(fmt.Errorf("put the deletion of %s to sleep: %w", tenant, err))
	}
	return nil
}

// LostDeletions lists tenants whose deletion should have looked longer ago than age, or is to begin, and gives each age
// more.
func (s *Store) LostDeletions(ctx context.Context, age time.Duration, limit int) ([]hook.TenantID, error) {
	rows, _ := s.pool.Query(ctx, `
		update tenant_deletions set due_at = clock_timestamp() where tenant_id = any(array(
			select tenant_id from tenant_deletions where due_at < now() - $1::interval order by tenant_id limit $2 for no key update skip locked))
		returning tenant_id`, age, limit)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.TenantID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list lost deletions: %w", err))
	}
	return list, nil
}
