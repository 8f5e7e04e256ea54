package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// findSQL returns the statement that looks up a thing by its id; "" if the kind is unknown. Each statement reads one row by a
// primary key. Events and deliveries are partitioned by their ids, which begin with the time, so it reads one partition.
// A deleted webhook is found while its record is kept, as for its log.
func findSQL(kind hook.ThingKind) string {
	const wanted = ` = @id and (@all or x.tenant_id = @tenant_id)`
	switch kind {
	case hook.ThingDelivery:
		return `select x.tenant_id, coalesce((select e.cache from events e where e.id = x.event_id), ''), x.event_type from deliveries x where x.id` + wanted
	case hook.ThingEvent:
		return `select x.tenant_id, x.cache, x.type from events x where x.id` + wanted
	case hook.ThingWebhook:
		return `select x.tenant_id, x.cache, '' from webhooks x where x.id` + wanted + `
			union all select x.tenant_id, x.cache, '' from deleted_webhooks x where x.id` + wanted + ` limit 1`
	case hook.ThingReplay:
		return `select x.tenant_id, '', '' from replays x where x.id` + wanted
	case hook.ThingTenant:
		return `select x.id, '', '' from tenants x where x.id = @id and (@all or x.id = @tenant_id)`
	default:
		return ""
	}
}

// Find returns what an id names, if it belongs to a tenant that the filter names. Otherwise it is not found.
func (s *Store) Find(ctx context.Context, of hook.TenantFilter, id hook.ThingID) (hook.Thing, error) {
	found := hook.Thing{ThingID: id}
	sql := findSQL(id.Kind)
	if sql == "" {
		return found, hook.NotFound("thing")
	}
	err := s.pool.QueryRow(ctx, sql, pgx.StrictNamedArgs{"id": id.ID, "tenant_id": [16]byte(of.ID), "all": of.All}).
		Scan((*[16]byte)(&found.TenantID), &found.Cache, &found.Topic)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, hook.NotFound(string(id.Kind))
	}
	if err != nil {
		return found, mapErr(fmt.Errorf("find %s: %w", id, err))
	}
	return found, nil
}
