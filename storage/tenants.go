package storage

import (
	"context"
	"fmt"

	"grapnel/internal/hook"
)

// Tenant finds a tenant by its name.
func (s *Store) Tenant(ctx context.Context, name string) (hook.TenantID, error) {
	var id hook.TenantID
	err := s.pool.QueryRow(ctx, `select id from tenants where name = $1`, name).Scan((*[16]byte)(&id))
	if err != nil {
		return id, notFound("tenant "+name, fmt.Errorf("select tenant %s: %w", name, err))
	}
	return id, nil
}
