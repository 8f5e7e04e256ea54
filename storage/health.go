package storage

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// healthChange is what a set of records means for the webhooks' health (S14).
type healthChange struct {
	ids       []hook.WebhookID
	succeeded []bool
	final     []bool
	disable   []string
}

// healthOf picks the records that may change a webhook: failures, and successes
// of one that was not healthy when it was loaded. So the ordinary success of a
// healthy webhook touches no webhook row at all. Tests say nothing about health.
func healthOf(records []hook.Record) healthChange {
	var c healthChange
	sorted := slices.Clone(records)
	// In one order everywhere, so that two transactions can't wait for each other.
	slices.SortStableFunc(sorted, func(a, b hook.Record) int {
		return bytes.Compare(a.Delivery.WebhookID[:], b.Delivery.WebhookID[:])
	})
	for i := range sorted {
		r := &sorted[i]
		ok := r.Attempt.Succeeded()
		if r.Delivery.Test || ok && r.Healthy {
			continue
		}
		c.ids = append(c.ids, r.Delivery.WebhookID)
		c.succeeded = append(c.succeeded, ok)
		c.final = append(c.final, !ok && !r.Verdict.Retry && !r.Attempt.Manual)
		c.disable = append(c.disable, r.Verdict.Disable)
	}
	return c
}

// apply moves the webhooks' health, disables those that answered 410 or have
// only failed for five days, and cancels what is pending for the disabled.
func (c healthChange) apply(ctx context.Context, tx pgx.Tx) error {
	rows, _ := tx.Query(ctx, `
		with c as (
			select id, bool_or(succeeded) as succeeded, bool_or(final) as final, max(disable) as disable
			from unnest(@ids::uuid[], @succeeded::bool[], @final::bool[], @disable::text[]) as c(id, succeeded, final, disable)
			group by id
		), locked as (
			select w.id from webhooks w join c on c.id = w.id
			where (c.succeeded and w.health <> 'healthy')
				or (not c.succeeded and (w.health = 'healthy' or (c.final and w.health <> 'failed')
					or c.disable <> '' or w.failing_since < now() - @disable_after))
			order by w.id for update of w
		)
		update webhooks w set
			health = case when c.succeeded then 'healthy' when c.final or w.health = 'failed' then 'failed' else 'failing' end,
			failing_since = case when c.succeeded then null else coalesce(w.failing_since, now()) end,
			active = w.active and (c.succeeded or (c.disable = '' and coalesce(w.failing_since, now()) >= now() - @disable_after)),
			disabled_reason = case
				when not w.active then w.disabled_reason
				when c.succeeded then ''
				when c.disable <> '' then c.disable
				when w.failing_since < now() - @disable_after then @failed_days
				else '' end,
			updated_at = case when w.active and not c.succeeded and (c.disable <> '' or w.failing_since < now() - @disable_after)
				then now() else w.updated_at end
		from c, locked where w.id = c.id and locked.id = w.id
		returning w.id, w.active`, pgx.StrictNamedArgs{
		"ids": raw(c.ids), "succeeded": c.succeeded, "final": c.final, "disable": c.disable,
		"disable_after": hook.DisableAfter, "failed_days": hook.ReasonFailedDays,
	})
	var disabled []hook.WebhookID
	var id hook.WebhookID
	var active bool
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &active}, func() error {
		if !active {
			disabled = append(disabled, id)
		}
		return nil
	})
	if err != nil || len(disabled) == 0 {
		return err
	}
	return cancelOutstanding(ctx, tx, disabled, hook.TextWebhookDisabled)
}
