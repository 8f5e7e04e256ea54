package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// A suspended tenant's webhooks are held as paused ones are (K8), by a mark on each: nothing that stores or sends has to
// look the tenant up. docs/adr/0014-life-of-a-tenant.md has the reasons.

// tenantDeleted is the SQLSTATE with which webhook_begins refuses a webhook of a tenant that is being deleted (migration
// 00036).
const tenantDeleted = "GR002"

func beingDeleted() error {
	return &hook.Error{Kind: hook.KindPrecondition, Message: "the tenant is being deleted"}
}

// holdWebhooks holds all webhooks of a tenant, or releases them, and wakes their drains. Those that their owner has paused
// are still paused afterwards. Webhooks are locked before drains, each by id, as everywhere. The time for which they were
// held counts neither as waiting (ExpireDeferred) nor as failing: nobody asked their endpoints.
func holdWebhooks(ctx context.Context, tx pgx.Tx, tenant hook.TenantID, hold bool) error {
	sql := `
		update webhooks set suspended_at = null, resumed_at = now(),
			failing_since = failing_since + greatest(now() - greatest(suspended_at, failing_since), interval '0')
		where id = any(array(select id from webhooks where tenant_id = $1 and suspended_at is not null order by id for no key update))`
	if hold {
		sql = `
		update webhooks set suspended_at = now()
		where id = any(array(select id from webhooks where tenant_id = $1 and suspended_at is null order by id for no key update))`
	}
	if _, err := tx.Exec(ctx, sql, [16]byte(tenant)); err != nil {
		return fmt.Errorf("hold webhooks: %w", err)
	}
	_, err := tx.Exec(ctx, `
		update drains set changes = changes + 1, due_at = '-infinity', idle = false, probe_at = null where webhook_id = any(array(
			select webhook_id from drains where webhook_id in (select id from webhooks where tenant_id = $1) order by webhook_id for no key update))`, [16]byte(tenant))
	if err != nil {
		return fmt.Errorf("wake drains: %w", err)
	}
	return nil
}

// lockActive makes a change of the tenant's status wait for the transaction. It refuses a tenant that is not active.
func lockActive(ctx context.Context, tx pgx.Tx, tenant hook.TenantID) error {
	rows, _ := tx.Query(ctx, `select status from tenants where id = $1 for share`, [16]byte(tenant))
	status, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		if hook.KindOf(notFound("tenant", err)) == hook.KindNotFound {
			return hook.NoTenant()
		}
		return err
	}
	switch hook.TenantStatus(status) {
	case hook.TenantSuspended:
		return hook.Suspended()
	case hook.TenantDeleting:
		return hook.NoTenant()
	case hook.TenantActive:
	}
	return nil
}

const (
	// writersPatience is how long a change of a tenant's status waits for the transactions that were storing events at its
	// commit. They usually end within milliseconds.
	writersPatience = 2 * time.Second
)

// awaitHeld returns when nothing is accepted or sent any more by what held before the last commit: hook.TrustFor has passed,
// and the transactions that were storing events have ended, unless one of them takes longer than writersPatience. It ignores
// the end of the caller's context: returning early would answer before the guarantee holds.
func (s *Store) awaitHeld(ctx context.Context) {
	committed := time.Now()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), writersPatience)
	defer cancel()
	var writers []string
	err := s.pool.QueryRow(bounded, `select `+writersNow).Scan(&writers)
	for ended := len(writers) == 0; err == nil && !ended; {
		if ended, err = transactionsEnded(bounded, s.pool, writers); err == nil && !ended {
			err = wait.For(bounded, writersPoll)
		}
	}
	s.awaitTrust(committed)
}
