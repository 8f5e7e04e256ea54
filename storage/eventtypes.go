package storage

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// EventTypes lists the tenant's own types by name; the nine of the seed are not
// among them, they need no row (S7).
func (s *Store) EventTypes(ctx context.Context, tenant hook.TenantID) ([]hook.EventType, error) {
	rows, _ := s.pool.Query(ctx, `select name, description, created_at from event_types where tenant_id = $1 order by name`,
		[16]byte(tenant))
	types, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hook.EventType, error) {
		var t hook.EventType
		err := row.Scan(&t.Name, &t.Description, &t.CreatedAt)
		return t, err
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list event types: %w", err))
	}
	return types, nil
}

// PutEventType adds a type or changes its description; created tells which.
func (s *Store) PutEventType(ctx context.Context, tenant hook.TenantID, t hook.EventType) (_ hook.EventType, created bool, err error) {
	err = s.pool.QueryRow(ctx, `
		insert into event_types (tenant_id, name, description) values (@tenant_id, @name, @description)
		on conflict (tenant_id, name) do update set description = excluded.description
		returning created_at, xmax = 0`, // a row that was updated has an xmax
		pgx.StrictNamedArgs{"tenant_id": [16]byte(tenant), "name": t.Name, "description": t.Description}).Scan(&t.CreatedAt, &created)
	if err != nil {
		return hook.EventType{}, false, mapErr(fmt.Errorf("put event type %s: %w", t.Name, err))
	}
	return t, created, nil
}

// UnknownEventTypes returns those of names that are neither built in nor the
// tenant's own, in their order.
func (s *Store) UnknownEventTypes(ctx context.Context, tenant hook.TenantID, names []string) ([]string, error) {
	var asked []string
	for _, name := range names {
		if !hook.IsBuiltIn(name) {
			asked = append(asked, name)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	look := &typesLookup{tenant: tenant, names: asked}
	if err := s.eventTypes.add(ctx, look); err != nil {
		return nil, mapErr(fmt.Errorf("look up event types: %w", err))
	}
	return look.unknown, nil
}

// typesLookup asks which names are not among a tenant's own types.
type typesLookup struct {
	tenant  hook.TenantID
	names   []string
	unknown []string
}

// lookUpTypes asks once for each name, all in one round trip: see lookUpKeys.
func (s *Store) lookUpTypes(ctx context.Context, list []*typesLookup) error {
	type typeName struct {
		tenant hook.TenantID
		name   string
	}
	known := make(map[typeName]bool, 1)
	batch := &pgx.Batch{}
	for _, look := range list {
		for _, name := range look.names {
			asked := typeName{look.tenant, name}
			if _, ok := known[asked]; ok {
				continue
			}
			known[asked] = false
			batch.Queue(`select exists (select from event_types where tenant_id = $1 and name = $2)`, [16]byte(look.tenant), name).
				QueryRow(func(row pgx.Row) error {
					var exists bool
					err := row.Scan(&exists)
					known[asked] = exists
					return err
				})
		}
	}
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	for _, look := range list {
		look.unknown = slices.DeleteFunc(slices.Clone(look.names), func(name string) bool { return known[typeName{look.tenant, name}] })
	}
	return nil
}
