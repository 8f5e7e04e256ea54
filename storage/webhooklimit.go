package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// lockWebhooks makes the creations of a tenant's webhooks wait for each other, and returns how many it may have; 0 is no
// limit (K7). The statement that inserts one counts the webhooks. It sees those of the creations before it, because its
// snapshot is taken after the lock. A change of the limit takes the same lock.
func (s *Store) lockWebhooks(ctx context.Context, tx pgx.Tx, tenant hook.TenantID) (most int, err error) {
	err = tx.QueryRow(ctx, `select coalesce(max_webhooks, $2) from tenants where id = $1 for no key update`, [16]byte(tenant), s.limits.Webhooks).Scan(&most)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, hook.NoTenant()
	}
	return most, err
}

// tooManyWebhooks returns the error of a tenant that has as many webhooks as it may have.
func tooManyWebhooks(ctx context.Context, tx pgx.Tx, tenant hook.TenantID, most int) error {
	has, err := countWebhooks(ctx, tx, tenant)
	if err != nil {
		return err
	}
	return hook.LimitExceeded("the account has %d of at most %d webhooks (max_webhooks): delete one, or have the limit raised", has, most)
}

// countWebhooks returns how many webhooks a tenant has, on all surfaces.
func countWebhooks(ctx context.Context, tx pgx.Tx, tenant hook.TenantID) (n int, err error) {
	err = tx.QueryRow(ctx, `select count(*) from webhooks where tenant_id = $1`, [16]byte(tenant)).Scan(&n)
	return n, err
}

// refuseBelow returns an error if a tenant gets a limit that is less than the number of its webhooks. The transaction has
// locked the tenant as lockWebhooks does.
func refuseBelow(ctx context.Context, tx pgx.Tx, before, now *hook.Tenant) error {
	most := now.Limits.MaxWebhooks
	if had := before.Limits.MaxWebhooks; most == nil || *most == 0 || had != nil && *had == *most {
		return nil
	}
	has, err := countWebhooks(ctx, tx, now.ID)
	if err != nil || has <= *most {
		return err
	}
	text := fmt.Sprintf("is less than the %d webhooks that there are", has)
	return &hook.Error{
		Kind: hook.KindLimit, Message: "limits.max_webhooks " + text,
		Violations: []hook.Violation{{Location: "body.limits.max_webhooks", Message: text, Value: *most}},
	}
}
