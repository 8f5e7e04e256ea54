package storage

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// A tenant's catalogue has the built-in types, which need no row; the shared types, which are rows of the tenant
// "default" (K6); and the tenant's own types. A tenant's own type goes before a shared one of the same name.

// sharedTenant is hook.DefaultTenant, whose rows the shared types are.
const sharedTenant = `'00000000-0000-7000-8000-000000000001'::uuid`

// knownType finds the row by which the tenant of a row k(tenant_id, name) knows the type of that name: its own before the
// shared one. The array keeps the planner on the primary key, which an "or" over two tenants would not; the offset makes it
// look each name up.
const knownType = `
		select t.* from event_types t
		where t.tenant_id = any(array[k.tenant_id, ` + sharedTenant + `]) and t.name = k.name and (t.tenant_id = k.tenant_id or t.shared)
		order by t.shared limit 1 offset 0`

// eventTypesSQL lists a page of a tenant's catalogue.
const eventTypesSQL = `
	select ` + eventTypeColumns + `, further from (
		select *, row_number() over names as place, lead(name) over names is not null as further,
			sum(octet_length(name) + octet_length(description) + coalesce(octet_length(schema), 0) + coalesce(octet_length(example), 0) + 256) over names as bytes
		from (
			select * from (
				(select * from event_types t where t.tenant_id = @tenant_id and t.name > @after` + eventTypeFilter + `
					order by t.name limit @limit + 1)
				union all
				(select * from event_types t where t.shared and t.tenant_id <> @tenant_id and t.name > @after` + eventTypeFilter + `
					and not exists (select from event_types o where o.tenant_id = @tenant_id and o.name = t.name)
					order by t.name limit @limit + 1)
			) t order by name limit @limit + 1
		) t
		window names as (order by name)) t
	where place <= @limit and (place = 1 or bytes <= @bytes) order by name`

// eventTypeFilter is the condition of a hook.EventTypeFilter.
const eventTypeFilter = ` and (@group = '' or t.group_name = @group) and (@deprecated::boolean is null or t.deprecated = @deprecated)`

// EventTypes lists a page of the tenant's types by name, its own and the shared ones, and reports whether there are
// more. The built-in types are not among them; they need no row (S7).
func (s *Store) EventTypes(ctx context.Context, tenant hook.TenantID, f hook.EventTypeFilter, p hook.NamePage) (types []hook.EventType, more bool, err error) {
	rows, _ := s.lists.Query(ctx, eventTypesSQL, pgx.StrictNamedArgs{
		"tenant_id": [16]byte(tenant), "after": p.After, "limit": p.Limit, "bytes": p.Bytes, "group": f.Group, "deprecated": f.Deprecated,
	})
	var t hook.EventType
	_, err = pgx.ForEachRow(rows, append(eventTypeTargets(&t), &more), func() error {
		types = append(types, t)
		t = hook.EventType{}
		return nil
	})
	if err != nil {
		return nil, false, mapErr(fmt.Errorf("list event types: %w", err))
	}
	return types, more, nil
}

const eventTypeColumns = `name, description, schema, example, created_at, shared, deprecated, coalesce(group_name, '')`

// eventTypeTargets returns where to scan eventTypeColumns.
func eventTypeTargets(t *hook.EventType) []any {
	return []any{&t.Name, &t.Description, &t.Schema, &t.Example, &t.CreatedAt, &t.Shared, &t.Deprecated, &t.Group}
}

func scanEventType(row pgx.CollectableRow) (t hook.EventType, err error) {
	err = row.Scan(eventTypeTargets(&t)...)
	return t, err
}

// EventTypeNames lists the names of the tenant's types, its own and the shared ones, without their schemas, which are
// large.
func (s *Store) EventTypeNames(ctx context.Context, tenant hook.TenantID) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `
		select name from event_types where tenant_id = $1 union select name from event_types where shared order by name`, [16]byte(tenant))
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, mapErr(fmt.Errorf("list names of event types: %w", err))
	}
	return names, nil
}

// EventType reads a type as the tenant knows it: its own, or the shared one.
func (s *Store) EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error) {
	rows, _ := s.pool.Query(ctx, `
		select `+eventTypeColumns+` from (
			select t.* from (select $1::uuid as tenant_id, $2::text as name) k cross join lateral (`+knownType+`) t) t`, [16]byte(tenant), name)
	t, err := pgx.CollectExactlyOneRow(rows, scanEventType)
	if err != nil {
		return hook.EventType{}, notFound("event type", fmt.Errorf("read event type %s: %w", name, err))
	}
	return t, nil
}

// LookUpEventTypes returns, in their order, those of the names that are neither built in nor the tenant's own nor
// shared (unknown), and the schema hashes of the others that have one. It puts the others into the publish cache.
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
			switch {
			case slices.Contains(look.unknown, name):
			case slices.Contains(look.shared, name):
				s.cache.putType(sharedType(name), look.schemas[name])
			default:
				s.cache.putType(typeName{look.tenant, name}, look.schemas[name])
			}
		}
	}
	return found, nil
}

// typesLookup asks which names are not in a tenant's catalogue, and which of the known types are shared and have
// schemas.
type typesLookup struct {
	tenant          hook.TenantID
	names           []string
	unknown, shared []string
	schemas         map[string]hook.SchemaHash
}

// foundType is what a look-up finds out about a name.
type foundType struct {
	known, shared bool
	schema        []byte
}

// found notes what was found out about a name.
func (l *typesLookup) found(name string, t foundType) {
	if !t.known {
		l.unknown = append(l.unknown, name)
		return
	}
	if t.shared {
		l.shared = append(l.shared, name)
	}
	if t.schema == nil {
		return
	}
	if l.schemas == nil {
		l.schemas = make(map[string]hook.SchemaHash, 1)
	}
	l.schemas[name] = hook.SchemaHash(t.schema)
}

// lookUpTypes looks each name up once, all in one statement.
func (s *Store) lookUpTypes(ctx context.Context, list []*typesLookup) error {
	types := make(map[typeName]foundType, 1)
	var tenants [][16]byte
	var names []string
	for _, look := range list {
		for _, name := range look.names {
			asked := typeName{look.tenant, name}
			if _, ok := types[asked]; ok {
				continue
			}
			types[asked] = foundType{}
			tenants, names = append(tenants, look.tenant), append(names, name)
		}
	}
	rows, _ := s.pool.Query(ctx, lookUpTypesSQL, tenants, names)
	var asked typeName
	var t foundType
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&asked.tenant), &asked.name, &t.schema, &t.shared}, func() error {
		t.known = true
		types[asked] = t
		t = foundType{} // the map keeps the bytes
		return nil
	}); err != nil {
		return err
	}
	for _, look := range list {
		for _, name := range look.names {
			look.found(name, types[typeName{look.tenant, name}])
		}
	}
	return nil
}

// lookUpTypesSQL finds types for pairs of a tenant and a name.
const lookUpTypesSQL = `
	select k.tenant_id, k.name, t.schema_hash, t.shared from unnest($1::uuid[], $2::text[]) as k(tenant_id, name)
	cross join lateral (` + knownType + `) t`
