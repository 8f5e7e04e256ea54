package storage

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// healthChange is the effect of a set of records on the webhooks' health (S14).
type healthChange struct {
	ids       []hook.WebhookID
	succeeded []bool
	final     []bool
	disable   []string
}

// healthOf picks the records that may change a webhook: failures, and successes of a webhook that was not healthy
// when it was loaded. So the ordinary success of a healthy webhook touches no webhook row. Tests don't affect health.
// Failures by hand affect it only if the endpoint is gone for good: no later attempt follows that a status could
// announce.
func healthOf(records []hook.Record) healthChange {
	var c healthChange
	for i := range records {
		r := &records[i]
		ok := r.Attempt.Succeeded()
		if r.Delivery.Test || ok && r.Healthy || !ok && r.Attempt.Manual && r.Verdict.Disable == "" {
			continue
		}
		c.ids = append(c.ids, r.Delivery.WebhookID)
		c.succeeded = append(c.succeeded, ok)
		c.final = append(c.final, !ok && !r.Verdict.Retry && !r.Attempt.Manual)
		c.disable = append(c.disable, r.Verdict.Disable)
	}
	return c
}

// lock locks the webhooks whose health the change moves (moved), or whose breakers the proofs close (closed).
// Webhooks are locked before deliveries everywhere, and both by id, so that no two transactions wait for each other.
func (c healthChange) lock(ctx context.Context, tx pgx.Tx, p proofs) (moved, closed []hook.WebhookID, err error) {
	args := c.args(nil)
	args["proven"], args["tripped"] = raw(p.ids), p.tripped
	rows, _ := tx.Query(ctx, `
		with `+healthArgs+`
		select w.id, coalesce(`+moves+`, false), `+proven+`
		from (select id from c union select unnest(@proven::uuid[])) k join webhooks w on w.id = k.id left join c on c.id = w.id
		where `+moves+` or `+proven+`
		order by w.id for update of w`, args)
	var id hook.WebhookID
	var moves, proven bool
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &moves, &proven}, func() error {
		if moves {
			moved = append(moved, id)
		}
		if proven {
			closed = append(closed, id)
		}
		return nil
	})
	return moved, closed, err
}

// moves is the SQL condition that the change c moves the health of w.
const moves = `((c.succeeded and w.health <> 'healthy')
			or (not c.succeeded and (w.health = 'healthy' or w.failing_since is null or (c.final and w.health <> 'failed')
				or c.disable <> '' or w.failures < @attempts or w.failed_on is distinct from ` + today + ` or ` + failedForLong + `)))`

// today is the UTC day by which failures are counted, in SQL.
const today = `(clock_timestamp() at time zone 'utc')::date`

// failedForLong is the SQL condition that w has only failed for so long that it is disabled. It adds this statement's
// failures to the stored counts of days and attempts.
const failedForLong = `(w.failing_since < now() - @disable_after::interval
	and w.failures + c.failures >= @attempts and w.failed_days + (w.failed_on is distinct from ` + today + `)::int >= @days)`

// applyHealth changes the locked webhooks' health, and disables webhooks that answered 410 or have only failed for
// five days; it returns these. Their deliveries are canceled later, by the pages of a cancellation: a recording
// touches its own rows only. It adds the operational events to events.
func (s *Store) applyHealth(ctx context.Context, tx pgx.Tx, c healthChange, locked []hook.WebhookID, events *operationalEvents) (disabled []hook.WebhookID, err error) {
	rows, _ := tx.Query(ctx, `
		with `+healthArgs+`
		update webhooks w set
			health = case when c.succeeded then 'healthy' when c.final or w.health = 'failed' then 'failed' else 'failing' end,
			failing_since = case when c.succeeded then null else coalesce(w.failing_since, now()) end,
			failures = case when c.succeeded then 0 else least(case when w.failing_since is null then 0 else w.failures end + c.failures, @attempts) end,
			failed_days = case
				when c.succeeded then 0
				when w.failing_since is null then 1
				else w.failed_days + (w.failed_on is distinct from `+today+`)::int end,
			failed_on = case when c.succeeded then null else `+today+` end,
			active = w.active and (c.succeeded or (c.disable = '' and not coalesce(`+failedForLong+`, false))),
			disabled_reason = case
				when not w.active then w.disabled_reason
				when c.succeeded then ''
				when c.disable <> '' then c.disable
				when `+failedForLong+` then @failed_days
				else '' end,
			updated_at = case when w.active and not c.succeeded and (c.disable <> '' or `+failedForLong+`) then now() else w.updated_at end
		from c join webhooks o on o.id = c.id -- as it was
		where w.id = c.id and w.id = any(@locked::uuid[])
		returning w.id, w.tenant_id, w.url, w.active, w.disabled_reason, w.health, w.generation, o.active, o.health, o.failing_since`, c.args(locked))
	var ended []hook.Webhook
	var now, before hook.Webhook
	var failingSince *time.Time
	_, err = pgx.ForEachRow(rows, []any{
		(*[16]byte)(&now.ID), (*[16]byte)(&now.TenantID), &now.URL, &now.Active, &now.DisabledReason, (*string)(&now.Health), &now.Generation,
		&before.Active, (*string)(&before.Health), &failingSince,
	}, func() error {
		if !now.Active && before.Active {
			ended = append(ended, now)
			events.disabled(&now)
		}
		if now.Health == hook.HealthHealthy && before.Health == hook.HealthFailed {
			events.recovered(&now, failingSince)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range ended {
		if err := queueCancellation(ctx, tx, ended[i].ID, ended[i].Generation, hook.TextWebhookDisabled); err != nil {
			return nil, err
		}
		disabled = append(disabled, ended[i].ID)
	}
	return disabled, nil
}

// healthArgs is the change by webhook, as a part of a WITH clause.
const healthArgs = `c as (
			select id, bool_or(succeeded) as succeeded, bool_or(final) as final, max(disable) as disable,
				count(*) filter (where not succeeded)::int as failures
			from unnest(@ids::uuid[], @succeeded::bool[], @final::bool[], @disable::text[]) as c(id, succeeded, final, disable)
			group by id
		)`

func (c healthChange) args(locked []hook.WebhookID) pgx.NamedArgs {
	return pgx.NamedArgs{
		"ids": raw(c.ids), "succeeded": c.succeeded, "final": c.final, "disable": c.disable, "locked": raw(locked),
		"disable_after": hook.DisableAfter, "attempts": hook.DisableAttempts, "days": hook.DisableDays, "failed_days": hook.ReasonFailedDays,
	}
}
