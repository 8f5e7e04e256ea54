package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// EventTypes lists a page of the tenant's own types by name, and reports whether there are more. The nine built-in
// types are not among them; they need no row (S7).
func (s *Store) EventTypes(ctx context.Context, tenant hook.TenantID, p hook.NamePage) (types []hook.EventType, more bool, err error) {
	rows, _ := s.lists.Query(ctx, `
		select `+eventTypeColumns+`, further from (
			select *, row_number() over names as place, lead(name) over names is not null as further,
				sum(octet_length(name) + octet_length(description) + coalesce(octet_length(schema), 0) + coalesce(octet_length(example), 0) + 256) over names as bytes
			from (select * from event_types where tenant_id = @tenant_id and name > @after order by name limit @limit + 1) t
			window names as (order by name)) t
		where place <= @limit and (place = 1 or bytes <= @bytes) order by name`,
		pgx.StrictNamedArgs{"tenant_id": [16]byte(tenant), "after": p.After, "limit": p.Limit, "bytes": p.Bytes})
	var t hook.EventType
	_, err = pgx.ForEachRow(rows, []any{&t.Name, &t.Description, &t.Schema, &t.Example, &t.CreatedAt, &more}, func() error {
		types = append(types, t)
		t = hook.EventType{}
		return nil
	})
	if err != nil {
		return nil, false, mapErr(fmt.Errorf("list event types: %w", err))
	}
	return types, more, nil
}

const eventTypeColumns = `name, description, schema, example, created_at`

func scanEventType(row pgx.CollectableRow) (hook.EventType, error) {
	var t hook.EventType
	err := row.Scan(&t.Name, &t.Description, &t.Schema, &t.Example, &t.CreatedAt)
	return t, err
}

// EventTypeNames lists the names of the tenant's own types, without their schemas, which are large.
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
	t, err := eventType(ctx, s.pool, tenant, name)
	if err != nil {
		return hook.EventType{}, mapErr(fmt.Errorf("read event type %s: %w", name, err))
	}
	if t == nil {
		return hook.EventType{}, hook.NotFound("event type")
	}
	return *t, nil
}

// eventType reads one of the tenant's own types; nil if there is none.
func eventType(ctx context.Context, q querier, tenant hook.TenantID, name string) (*hook.EventType, error) {
	rows, _ := q.Query(ctx, `select `+eventTypeColumns+` from event_types where tenant_id = $1 and name = $2`, [16]byte(tenant), name)
	t, err := pgx.CollectExactlyOneRow(rows, scanEventType)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none
	}
	return &t, err
}

// PutEventType adds or replaces a type; created reports whether it was added. A nil description leaves the stored
// one. It is unprocessable if the tenant's schemas, with their examples, would be too large together, and over the
// limit if the tenant would have too many types.
func (s *Store) PutEventType(ctx context.Context, tenant hook.TenantID, t hook.NewEventType) (_ hook.EventType, created bool, err error) {
	put := hook.EventType{Name: t.Name, Schema: t.Schema, Example: t.Example}
	var large, many bool
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// One at a time: the bounds hold exactly, and what the audit log says was there before.
		if _, err := tx.Exec(ctx, `select from tenants where id = $1 for no key update`, [16]byte(tenant)); err != nil {
			return err
		}
		before, err := eventType(ctx, tx, tenant, t.Name)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			with own as (select name, octet_length(schema) + coalesce(octet_length(example), 0) as bytes from event_types where tenant_id = @tenant_id),
			bound as (select
				@schema::bytea is not null and octet_length(@schema::bytea) + coalesce(octet_length(@example::bytea), 0)
					+ coalesce((select sum(bytes) from own where name <> @name), 0) > @most_bytes::bigint as large,
				not exists (select from own where name = @name) and (select count(*) from own) >= @most::bigint as many),
			put as (
				insert into event_types (tenant_id, name, description, schema, example)
				select @tenant_id, @name, coalesce(@description, ''), @schema, @example from bound where not large and not many
				on conflict (tenant_id, name) do update set description = coalesce(@description, event_types.description),
					schema = excluded.schema, example = excluded.example
				returning description, created_at, xmax = 0 as created) -- a row that was updated has an xmax
			select large, many, coalesce(description, ''), coalesce(created_at, now()), coalesce(created, false) from bound left join put on true`,
			pgx.StrictNamedArgs{
				"tenant_id": [16]byte(tenant), "name": t.Name, "description": t.Description, "schema": t.Schema, "example": t.Example,
				"most_bytes": hook.MaxSchemas, "most": cmp.Or(s.limits.EventTypes, math.MaxInt32),
			}).Scan(&large, &many, &put.Description, &put.CreatedAt, &created)
		if err != nil || large || many {
			return err
		}
		return auditEventType(ctx, tx, tenant, before, &put)
	})
	switch {
	case err != nil:
		return hook.EventType{}, false, mapErr(fmt.Errorf("put event type %s: %w", t.Name, err))
	case large:
		return hook.EventType{}, false, hook.Unprocessable("body.schema", "the schemas of all event types together, with their examples, must be at most %d bytes", hook.MaxSchemas)
	case many:
		return hook.EventType{}, false, hook.LimitExceeded("there are %d event types, the most that there may be (--max-event-types)", s.limits.EventTypes)
	}
	return put, created, nil
}

// LookUpEventTypes returns, in their order, those of the names that are neither built in nor the tenant's own
// (unknown), and the schema hashes of the others that have one.
func (s *Store) LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) (
	unknown []string, schemas map[string]hook.SchemaHash, err error,
) {
	found, err := s.LookUpEventTypesOf(ctx, []hook.TypesAsked{{TenantID: tenant, Names: names}})
	if err != nil {
		return nil, nil, err
	}
	return found[0].Unknown, found[0].Schemas, nil
}

// LookUpEventTypesOf is LookUpEventTypes for several tenants at once: the results are in the order of asked.
func (s *Store) LookUpEventTypesOf(ctx context.Context, asked []hook.TypesAsked) ([]hook.TypesFound, error) {
	looks := make([]*typesLookup, len(asked))
	var needed []*typesLookup
	for i, a := range asked {
		looks[i] = &typesLookup{tenant: a.TenantID}
		for _, name := range a.Names {
			if !hook.IsBuiltIn(name) {
				looks[i].names = append(looks[i].names, name)
			}
		}
		if len(looks[i].names) > 0 {
			needed = append(needed, looks[i])
		}
	}
	for _, err := range s.eventTypes.addAll(ctx, needed) {
		if err != nil {
			return nil, mapErr(fmt.Errorf("look up event types: %w", err))
		}
	}
	found := make([]hook.TypesFound, len(asked))
	for i, look := range looks {
		found[i] = hook.TypesFound{Unknown: look.unknown, Schemas: look.schemas}
		for _, name := range look.names {
			if !slices.Contains(look.unknown, name) {
				s.cache.putType(typeName{look.tenant, name}, look.schemas[name])
			}
		}
	}
	return found, nil
}

// typesLookup asks which names are not among a tenant's own types, and which of the known types have schemas.
type typesLookup struct {
	tenant  hook.TenantID
	names   []string
	unknown []string
	schemas map[string]hook.SchemaHash
}

// lookUpTypes looks each name up once, all in one statement.
func (s *Store) lookUpTypes(ctx context.Context, list []*typesLookup) error {
	type found struct {
		known  bool
		schema []byte
	}
	types := make(map[typeName]found, 1)
	var tenants [][16]byte
	var names []string
	for _, look := range list {
		for _, name := range look.names {
			asked := typeName{look.tenant, name}
			if _, ok := types[asked]; ok {
				continue
			}
			types[asked] = found{}
			tenants, names = append(tenants, look.tenant), append(names, name)
		}
	}
	// The offset makes the planner look each name up by the primary key.
	rows, _ := s.pool.Query(ctx, `
		select n.tenant_id, n.name, t.schema_hash from unnest($1::uuid[], $2::text[]) as n(tenant_id, name)
		cross join lateral (select t.schema_hash from event_types t where t.tenant_id = n.tenant_id and t.name = n.name offset 0) t`, tenants, names)
	var asked typeName
	var hash []byte
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&asked.tenant), &asked.name, &hash}, func() error {
		types[asked] = found{true, hash}
		hash = nil // the map keeps it
		return nil
	}); err != nil {
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
