package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// proofs are the answers, among a set of records, that came through an open breaker: answers to a drain's probe, a
// test or a retry by hand. Each closes the breaker that was open when its delivery was loaded.
type proofs struct {
	ids     []hook.WebhookID
	tripped []time.Time
}

func proofsOf(records []hook.Record) proofs {
	var p proofs
	for i := range records {
		if r := &records[i]; r.TrippedAt != nil && r.Attempt.Answered() {
			p.ids = append(p.ids, r.Delivery.WebhookID)
			p.tripped = append(p.tripped, *r.TrippedAt)
		}
	}
	return p
}

// proven is the SQL condition that one of the proofs belongs to the present opening of w's breaker. A proof of an
// earlier opening does not count.
const proven = `exists (select from unnest(@proven::uuid[], @tripped::timestamptz[]) as p(id, tripped_at) where p.id = w.id and p.tripped_at = w.tripped_at)`

// closeBreakers closes the breakers of webhooks whose rows are locked, and wakes their drains. Drains are locked
// before deliveries, as in Defer.
func closeBreakers(ctx context.Context, tx pgx.Tx, webhooks []hook.WebhookID) error {
	if len(webhooks) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	batch.Queue(`update webhooks set tripped_at = null where id = any($1)`, raw(webhooks))
	batch.Queue(`
		update drains set changes = changes + 1, due_at = '-infinity', idle = false, probe_at = null where webhook_id = any(array(
			select webhook_id from drains where webhook_id = any($1) order by webhook_id for no key update))`, raw(webhooks))
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("close breakers: %w", err)
	}
	return nil
}
