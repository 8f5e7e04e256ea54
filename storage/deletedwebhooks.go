package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// LoggedWebhook finds the webhook of a log: an existing one, or a deleted one whose deliveries are still kept. It is
// not found if it belongs to a tenant that the filter does not name.
func (s *Store) LoggedWebhook(ctx context.Context, of hook.TenantFilter, id hook.WebhookID) (hook.Logged, error) {
	const wanted = `where id = @id and (tenant_id = @tenant_id or @all)`
	return s.logged(ctx, `
		select id, profile, cache, null::timestamptz as deleted_at from webhooks `+wanted+`
		union all
		select id, profile, cache, deleted_at from deleted_webhooks `+wanted,
		pgx.StrictNamedArgs{"id": [16]byte(id), "tenant_id": [16]byte(of.ID), "all": of.All})
}

// LoggedWebhookNamed is LoggedWebhook for a Momento webhook: the one that has the name, or else the last one that had
// it.
func (s *Store) LoggedWebhookNamed(ctx context.Context, tenant hook.TenantID, cache, name string) (hook.Logged, error) {
	const named = `where tenant_id = @tenant_id and cache = @cache and name = @name and profile = 'momento'`
	return s.logged(ctx, `
		(select id, profile, cache, null::timestamptz as deleted_at from webhooks `+named+`)
		union all
		(select id, profile, cache, deleted_at from deleted_webhooks `+named+` order by deleted_at desc limit 1)`,
		pgx.StrictNamedArgs{"tenant_id": [16]byte(tenant), "cache": cache, "name": name})
}

func (s *Store) logged(ctx context.Context, from string, args pgx.StrictNamedArgs) (w hook.Logged, err error) {
	err = s.pool.QueryRow(ctx, `select * from (`+from+`) w order by deleted_at nulls first limit 1`, args).
		Scan((*[16]byte)(&w.ID), (*string)(&w.Profile), &w.Cache, &w.DeletedAt)
	if err != nil {
		return w, notFound("webhook", fmt.Errorf("select webhook of a log: %w", err))
	}
	return w, nil
}

// purgeDeleted deletes the records of webhooks that were deleted longer ago than retention, and what webhooks were
// before changes of that age: nothing of their logs is left.
func (s *Store) purgeDeleted(ctx context.Context, retention time.Duration) error {
	_, err := s.pool.Exec(ctx, `
		with was as (delete from webhook_history where until < now() - $1::interval)
		delete from deleted_webhooks where deleted_at < now() - $1::interval`, retention)
	if err != nil {
		return mapErr(fmt.Errorf("purge deleted webhooks: %w", err))
	}
	return nil
}
