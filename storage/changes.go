package storage

import (
	"context"
	"fmt"
	"time"

	"grapnel/internal/hook"
)

// Changes returns what has become visible since an earlier look (P7): events and attempts, from usage_deltas, and other changes,
// from the table of that name. An empty snapshot returns none. It must be asked again before rows are taken from these tables: see
// FoldUsage and PurgeChanges.
func (s *Store) Changes(ctx context.Context, since hook.Snapshot) (c hook.Changes, err error) {
	var tenants, webhooks [][16]byte
	var earlier *string
	if since != "" {
		text := string(since)
		earlier = &text
	}
	// The first time is before the statement's snapshot, the second one after it.
	err = s.lists.QueryRow(ctx, `
		with seen as (
			select tenant_id, webhook_id from usage_deltas where not pg_visible_in_snapshot(tx, $1::text::pg_snapshot)
			union
			select tenant_id, webhook_id from changes where not pg_visible_in_snapshot(tx, $1::text::pg_snapshot)
		)
		select pg_current_snapshot()::text, statement_timestamp(), clock_timestamp(), coalesce(array_agg(tenant_id), '{}'),
			coalesce(array_agg(coalesce(webhook_id, `+nobody+`)), '{}') from seen`, earlier).
		Scan((*string)(&c.Now), &c.Begun, &c.Ended, &tenants, &webhooks)
	if err != nil {
		return hook.Changes{}, mapErr(fmt.Errorf("look for changes: %w", err))
	}
	c.List = make([]hook.Change, len(tenants))
	for i := range tenants {
		c.List[i] = hook.Change{TenantID: tenants[i], WebhookID: webhooks[i]}
	}
	return c, nil
}

// PurgeChanges deletes what was noted for Changes longer ago than age. Usage's deltas are not among it.
func (s *Store) PurgeChanges(ctx context.Context, age time.Duration) error {
	_, err := s.pool.Exec(ctx, `delete from changes where at < clock_timestamp() - $1::interval`, age)
	if err != nil {
		return mapErr(fmt.Errorf("purge changes: %w", err))
	}
	return nil
}
