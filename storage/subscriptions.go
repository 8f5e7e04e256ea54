package storage

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// subscribe stores the subscriptions of a webhook that has none.
func subscribe(ctx context.Context, tx pgx.Tx, w *hook.Webhook) error {
	_, err := tx.Exec(ctx, `
		insert into subscriptions (tenant_id, cache, pattern, webhook_id) select $1, $4, pattern, $3 from unnest($2::text[]) as pattern`,
		[16]byte(w.TenantID), w.Events, [16]byte(w.ID), w.Cache)
	if err != nil {
		return err
	}
	return checkListed(ctx, tx, w)
}

// checkListed makes sure that the event types which were found in the catalogue when the webhook was checked are still
// there, and that they stay until it is stored. Otherwise a type could be deleted in between (K6).
func checkListed(ctx context.Context, tx pgx.Tx, w *hook.Webhook) error {
	if len(w.Listed) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		select name from event_types t
		where t.tenant_id = any(array[$1, `+sharedTenant+`]) and t.name = any($2) and (t.tenant_id = $1 or t.shared)
		order by name, tenant_id for key share`, [16]byte(w.TenantID), w.Listed)
	listed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for i, event := range w.Events {
		if slices.Contains(w.Listed, event) && !slices.Contains(listed, event) {
			return hook.Unprocessable(fmt.Sprintf("body.events[%d]", i), "is not a known event type: it has been deleted just now")
		}
	}
	return nil
}
