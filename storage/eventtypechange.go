package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// PutEventType adds or replaces a type; created reports whether it was added. What is nil in t stays as it is stored. If
// t is to be shared (K6), tenant must be the tenant "default"; a type that it had of its own becomes shared, and other
// tenants' copies that are the same are deleted. It is a hook.KindShared error if a tenant puts a name that is shared, and
// not of its own from before. It is unprocessable if the tenant's schemas, with their examples, would be too large
// together, and over the limit if the tenant would have too many types.
func (s *Store) PutEventType(ctx context.Context, tenant hook.TenantID, t hook.NewEventType) (put hook.EventType, created bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := lockEventType(ctx, tx, tenant, t.Name)
		if err != nil {
			return err
		}
		if !t.Shared {
			if err := refuseShared(ctx, tx, before, t.Name); err != nil {
				return err
			}
		}
		if put, created, err = s.upsertEventType(ctx, tx, tenant, &t); err != nil {
			return err
		}
		var copies []hook.AuditMember
		if t.Shared {
			dropped, err := dropCopies(ctx, tx, t.Name)
			if err != nil {
				return err
			}
			if dropped > 0 {
				copies = []hook.AuditMember{{Name: "copies_deleted", Value: dropped}}
			}
		}
		return auditEventType(ctx, tx, tenant, before, &put, copies)
	})
	if err != nil {
		return hook.EventType{}, false, mapErr(fmt.Errorf("put event type %s: %w", t.Name, err))
	}
	return put, created, nil
}

// lockEventType makes the changes of event types wait for each other, and returns the tenant's row of a name, nil if
// there is none. A tenant's changes wait for each other and for those of shared types, not for other tenants': the bounds
// hold exactly, nobody adds a name while it becomes shared, and the audit log's values of before are right.
func lockEventType(ctx context.Context, tx pgx.Tx, tenant hook.TenantID, name string) (*hook.EventType, error) {
	if tenant != hook.DefaultTenant() {
		if _, err := tx.Exec(ctx, `select from tenants where id = `+sharedTenant+` for share`); err != nil {
			return nil, err
		}
	}
	if _, err := tx.Exec(ctx, `select from tenants where id = $1 for no key update`, [16]byte(tenant)); err != nil {
		return nil, err
	}
	rows, _ := tx.Query(ctx, `select `+eventTypeColumns+` from event_types where tenant_id = $1 and name = $2`, [16]byte(tenant), name)
	t, err := pgx.CollectExactlyOneRow(rows, scanEventType)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none
	}
	return &t, err
}

// refuseShared returns an error if a name is shared, unless own is the tenant's own type of that name.
func refuseShared(ctx context.Context, tx pgx.Tx, own *hook.EventType, name string) error {
	if own != nil && !own.Shared {
		return nil
	}
	shared, err := isShared(ctx, tx, name)
	if err == nil && shared {
		err = &hook.Error{Kind: hook.KindShared, Message: name + " is shared by all tenants: a platform key that names no tenant changes it"}
	}
	return err
}

// isShared reports whether there is a shared type of this name.
func isShared(ctx context.Context, tx pgx.Tx, name string) (shared bool, err error) {
	err = tx.QueryRow(ctx, `select exists (select from event_types where name = $1 and shared)`, name).Scan(&shared)
	return shared, err
}

// upsertEventType stores a type within the tenant's bounds.
func (s *Store) upsertEventType(ctx context.Context, tx pgx.Tx, tenant hook.TenantID, t *hook.NewEventType) (put hook.EventType, created bool, err error) {
	put = hook.EventType{Name: t.Name, Schema: t.Schema, Example: t.Example}
	var large, many bool
	err = tx.QueryRow(ctx, `
		with own as (select name, octet_length(schema) + coalesce(octet_length(example), 0) as bytes from event_types where tenant_id = @tenant_id),
		bound as (select
			@schema::bytea is not null and octet_length(@schema::bytea) + coalesce(octet_length(@example::bytea), 0)
				+ coalesce((select sum(bytes) from own where name <> @name), 0) > @most_bytes::bigint as large,
			not exists (select from own where name = @name) and (select count(*) from own) >= @most::bigint as many),
		put as (
			insert into event_types (tenant_id, name, description, schema, example, shared, deprecated, group_name)
			select @tenant_id, @name, coalesce(@description, ''), @schema, @example, @shared, coalesce(@deprecated::boolean, false), nullif(@group::text, '')
			from bound where not large and not many
			on conflict (tenant_id, name) do update set description = coalesce(@description, event_types.description),
				schema = excluded.schema, example = excluded.example, shared = excluded.shared,
				deprecated = coalesce(@deprecated::boolean, event_types.deprecated),
				group_name = case when @group::text is null then event_types.group_name else excluded.group_name end
			returning description, created_at, shared, deprecated, group_name, xmax = 0 as created) -- a row that was updated has an xmax
		select large, many, coalesce(description, ''), coalesce(created_at, now()), coalesce(shared, false), coalesce(deprecated, false),
			coalesce(group_name, ''), coalesce(created, false)
		from bound left join put on true`,
		pgx.StrictNamedArgs{
			"tenant_id": [16]byte(tenant), "name": t.Name, "description": t.Description, "schema": t.Schema, "example": t.Example,
			"shared": t.Shared, "deprecated": t.Deprecated, "group": t.Group,
			"most_bytes": hook.MaxSchemas, "most": cmp.Or(s.limits.EventTypes, math.MaxInt32),
		}).Scan(&large, &many, &put.Description, &put.CreatedAt, &put.Shared, &put.Deprecated, &put.Group, &created)
	switch {
	case err != nil:
	case large:
		err = hook.Unprocessable("body.schema", "the schemas of all event types together, with their examples, must be at most %d bytes", hook.MaxSchemas)
	case many:
		err = hook.LimitExceeded("there are %d event types, the most that there may be (--max-event-types)", s.limits.EventTypes)
	}
	return put, created, err
}

// dropCopies deletes the tenants' own types that are the same as the shared one of this name, and returns how many. They
// would keep their tenants from later changes.
func dropCopies(ctx context.Context, tx pgx.Tx, name string) (int64, error) {
	tag, err := tx.Exec(ctx, `
		delete from event_types e using event_types s
		where s.tenant_id = `+sharedTenant+` and s.name = $1 and e.name = $1 and not e.shared and e.description = s.description
			and e.deprecated = s.deprecated and (e.schema_hash, e.group_name) is not distinct from (s.schema_hash, s.group_name)`, name)
	return tag.RowsAffected(), err
}

// DeleteEventType deletes the tenant's type of a name, unless a webhook subscribes to it by name (K6). shared permits it
// to delete a shared type, which is one of the tenant "default"; then the webhooks of all tenants count that don't have the
// type of their own. A tenant's own type can be deleted in any case if there is a shared one, which takes its place. It is
// a hook.KindShared error if the type is shared and must not be deleted.
func (s *Store) DeleteEventType(ctx context.Context, tenant hook.TenantID, name string, shared bool) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := lockEventType(ctx, tx, tenant, name)
		if err != nil {
			return err
		}
		if !shared {
			if err := refuseShared(ctx, tx, before, name); err != nil {
				return err
			}
		}
		if before == nil {
			return hook.NotFound("event type")
		}
		// A webhook that is being stored locks the row (checkListed), so this waits for it and then sees it.
		if _, err := tx.Exec(ctx, `delete from event_types where tenant_id = $1 and name = $2`, [16]byte(tenant), name); err != nil {
			return err
		}
		if err := refuseSubscribed(ctx, tx, tenant, before); err != nil {
			return err
		}
		return auditEventType(ctx, tx, tenant, before, nil, nil)
	})
	if err != nil {
		return mapErr(fmt.Errorf("delete event type %s: %w", name, err))
	}
	return nil
}

// refuseSubscribed returns an error if webhooks subscribe by name to a type that has been deleted, and that is gone for
// them. A shared type is looked for tenant by tenant, by the primary key of subscriptions.
func refuseSubscribed(ctx context.Context, tx pgx.Tx, tenant hook.TenantID, t *hook.EventType) error {
	tenants, args := `select $2::uuid as id`, []any{t.Name, [16]byte(tenant)}
	switch {
	case t.Shared:
		tenants, args = `select id from tenants t where not exists (select from event_types o where o.tenant_id = t.id and o.name = $1)`, args[:1]
	default:
		if replaced, err := isShared(ctx, tx, t.Name); err != nil || replaced {
			return err
		}
	}
	var n int
	var first *[16]byte
	err := tx.QueryRow(ctx, `
		select count(*), (array_agg(s.webhook_id order by s.webhook_id))[1] from (`+tenants+`) t
		cross join lateral (
			select s.webhook_id from subscriptions s where s.tenant_id = t.id and s.cache = '' and s.pattern = $1 offset 0
		) s`, args...).Scan(&n, &first)
	if err != nil || n == 0 {
		return err
	}
	text := fmt.Sprintf("a webhook subscribes to %s by name: %s", t.Name, hook.WebhookID(*first))
	if n > 1 {
		text = fmt.Sprintf("%d webhooks subscribe to %s by name, among them %s", n, t.Name, hook.WebhookID(*first))
	}
	return &hook.Error{Kind: hook.KindPrecondition, Message: text}
}
