package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

type tenantRow struct {
	ID        [16]byte
	Name      string
	CreatedAt time.Time
}

func (r *tenantRow) tenant() hook.Tenant {
	return hook.Tenant{ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt}
}

// CreateTenant stores a validated tenant with an admin key of the given text, without which nobody could use the
// tenant. It is a conflict if the name is taken.
func (s *Store) CreateTenant(ctx context.Context, t hook.Tenant, text hook.Secret) (hook.Tenant, hook.APIKey, error) {
	t.ID = newID[hook.TenantID]()
	k := hook.APIKey{TenantID: t.ID, Name: "first key", Scopes: []hook.Scope{hook.ScopeAdmin}}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `insert into tenants (id, name) values ($1, $2) returning created_at`, [16]byte(t.ID), t.Name).Scan(&t.CreatedAt)
		if err != nil {
			return err
		}
		err = audit(ctx, tx, hook.AuditEntry{
			// Tenants are the operator's, and so is the log of what happens to them.
			TenantID: hook.DefaultTenant(), Action: hook.AuditTenantCreated,
			Target:  hook.AuditTarget{Kind: hook.TargetTenant, ID: t.ID.String(), Name: t.Name},
			Changes: hook.AuditChanges(nil, []hook.AuditMember{{Name: "name", Value: t.Name}}),
		})
		if err != nil {
			return err
		}
		return createKey(ctx, tx, &k, text)
	})
	if err != nil {
		return hook.Tenant{}, hook.APIKey{}, mapErr(fmt.Errorf("insert tenant: %w", err))
	}
	return t, k, nil
}

// Tenants lists all tenants, newest first; more reports whether there are further ones.
func (s *Store) Tenants(ctx context.Context, p hook.Page) (list []hook.Tenant, more bool, err error) {
	lo, hi := bounds(p)
	rows, _ := s.pool.Query(ctx, `
		select id, name, created_at from tenants where id >= @lo and id < @hi order by id desc limit @limit`,
		pgx.StrictNamedArgs{"lo": lo, "hi": hi, "limit": p.Limit + 1})
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[tenantRow])
	if err != nil {
		return nil, false, mapErr(fmt.Errorf("list tenants: %w", err))
	}
	found, more = cut(found, p.Limit)
	for i := range found {
		list = append(list, found[i].tenant())
	}
	return list, more, nil
}

// Tenant finds a tenant by its name.
func (s *Store) Tenant(ctx context.Context, name string) (hook.TenantID, error) {
	var id hook.TenantID
	err := s.pool.QueryRow(ctx, `select id from tenants where name = $1`, name).Scan((*[16]byte)(&id))
	if err != nil {
		return id, notFound("tenant "+name, fmt.Errorf("select tenant %s: %w", name, err))
	}
	return id, nil
}
