package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// EventTypes lists the tenant's own types by name; the nine of the seed are not
// among them, they need no row (S7).
func (s *Store) EventTypes(ctx context.Context, tenant hook.TenantID) ([]hook.EventType, error) {
	rows, _ := s.pool.Query(ctx, `select `+eventTypeColumns+` from event_types where tenant_id = $1 order by name`, [16]byte(tenant))
	types, err := pgx.CollectRows(rows, scanEventType)
	if err != nil {
		return nil, mapErr(fmt.Errorf("list event types: %w", err))
	}
	return types, nil
}

const eventTypeColumns = `name, description, schema, example, created_at`

func scanEventType(row pgx.CollectableRow) (hook.EventType, error) {
	var t hook.EventType
	err := row.Scan(&t.Name, &t.Description, &t.Schema, &t.Example, &t.CreatedAt)
	return t, err
}

// EventTypeNames lists the names of the tenant's own types: schemas are large.
func (s *Store) EventTypeNames(ctx context.Context, tenant hook.TenantID) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `select name from event_types where tenant_id = $1 order by name`, [16]byte(tenant))
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, mapErr(fmt.Errorf("list names of event types: %w", err))
	}
	return names, nil
}

// EventType reads one of the tenant's own types.
func (s *Store) EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error) {
	rows, _ := s.pool.Query(ctx, `select `+eventTypeColumns+` from event_types where tenant_id = $1 and name = $2`, [16]byte(tenant), name)
	t, err := pgx.CollectExactlyOneRow(rows, scanEventType)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, hook.NotFound("event type")
	}
	if err != nil {
		return t, mapErr(fmt.Errorf("read event type %s: %w", name, err))
	}
	return t, nil
}

// PutEventType adds a type or replaces what is said of it; created tells which. It is
// unprocessable where the tenant's schemas would be too large together.
func (s *Store) PutEventType(ctx context.Context, tenant hook.TenantID, t hook.EventType) (_ hook.EventType, created bool, err error) {
	// Two at the same time may exceed the bound by one schema each, which does no harm.
	err = s.pool.QueryRow(ctx, `
		insert into event_types (tenant_id, name, description, schema, example)
		select @tenant_id, @name, @description, @schema, @example
		where @schema::bytea is null or octet_length(@schema::bytea) <= @most::bigint - (
			select coalesce(sum(octet_length(schema)), 0) from event_types where tenant_id = @tenant_id and name <> @name)
		on conflict (tenant_id, name) do update set description = excluded.description, schema = excluded.schema, example = excluded.example
		returning created_at, xmax = 0`, // a row that was updated has an xmax
		pgx.StrictNamedArgs{
			"tenant_id": [16]byte(tenant), "name": t.Name, "description": t.Description, "schema": t.Schema, "example": t.Example,
			"most": hook.MaxSchemas,
		}).Scan(&t.CreatedAt, &created)
	if errors.Is(err, pgx.ErrNoRows) {
		return hook.EventType{}, false, hook.Unprocessable("body.schema", "the schemas of all event types together must be at most %d bytes", hook.MaxSchemas)
	}
	if err != nil {
		return hook.EventType{}, false, mapErr(fmt.Errorf("put event type %s: %w", t.Name, err))
	}
	return t, created, nil
}

// LookUpEventTypes returns those of names that are neither built in nor the tenant's
// own, in their order, and the hashes of the schemas that others have.
func (s *Store) LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) (
	unknown []string, schemas map[string]hook.SchemaHash, err error,
) {
	var asked []string
	for _, name := range names {
		if !hook.IsBuiltIn(name) {
			asked = append(asked, name)
		}
	}
	if len(asked) == 0 {
		return nil, nil, nil
	}
	look := &typesLookup{tenant: tenant, names: asked}
	if err := s.eventTypes.add(ctx, look); err != nil {
		return nil, nil, mapErr(fmt.Errorf("look up event types: %w", err))
	}
	for _, name := range asked {
		if !slices.Contains(look.unknown, name) {
			s.recalled.keepType(typeName{tenant, name}, look.schemas[name])
		}
	}
	return look.unknown, look.schemas, nil
}

// typesLookup asks which names are not among a tenant's own types, and which of these
// have schemas.
type typesLookup struct {
	tenant  hook.TenantID
	names   []string
	unknown []string
	schemas map[string]hook.SchemaHash
}

// lookUpTypes asks once for each name, all in one round trip: see lookUpKeys.
func (s *Store) lookUpTypes(ctx context.Context, list []*typesLookup) error {
	type found struct {
		known  bool
		schema []byte
	}
	types := make(map[typeName]found, 1)
	batch := &pgx.Batch{}
	for _, look := range list {
		for _, name := range look.names {
			asked := typeName{look.tenant, name}
			if _, ok := types[asked]; ok {
				continue
			}
			types[asked] = found{}
			batch.Queue(`select schema_hash from event_types where tenant_id = $1 and name = $2`, [16]byte(look.tenant), name).
				QueryRow(func(row pgx.Row) error {
					var hash []byte
					err := row.Scan(&hash)
					if errors.Is(err, pgx.ErrNoRows) {
						return nil
					}
					types[asked] = found{err == nil, hash}
					return err
				})
		}
	}
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	for _, look := range list {
		for _, name := range look.names {
			switch t := types[typeName{look.tenant, name}]; {
			case !t.known:
				look.unknown = append(look.unknown, name)
			case t.schema != nil:
				if look.schemas == nil {
					look.schemas = make(map[string]hook.SchemaHash, 1)
				}
				look.schemas[name] = hook.SchemaHash(t.schema)
			}
		}
	}
	return nil
}
