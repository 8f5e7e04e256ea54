package storage

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// CreateKeyWithin is CreateKey with a limit: the tenant may have at most most keys that are neither revoked nor
// expired.
func (s *Store) CreateKeyWithin(ctx context.Context, k hook.APIKey, text hook.Secret, most int) (hook.APIKey, error) {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Two concurrent calls must not both take the last place. Publishing needs no such lock.
		if _, err := tx.Exec(ctx, `select from tenants where id = $1 for no key update`, [16]byte(k.TenantID)); err != nil {
			return err
		}
		var valid int
		err := tx.QueryRow(ctx, `
			select count(*) from (select from api_keys
				where tenant_id = $1 and revoked_at is null and (expires_at is null or expires_at > now()) limit $2) k`,
			[16]byte(k.TenantID), most).Scan(&valid)
		if err != nil {
			return err
		}
		if valid >= most {
			return &hook.Error{Kind: hook.KindLimit, Message: fmt.Sprintf("there are %d valid API keys, the most that an account may have (--max-keys): revoke one", most)}
		}
		return createKey(ctx, tx, &k, text)
	})
	if err != nil {
		return hook.APIKey{}, mapErr(fmt.Errorf("insert api key: %w", err))
	}
	return k, nil
}
