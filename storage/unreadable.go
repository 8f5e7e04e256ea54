package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// ExpireUnreadable fails those of the deliveries whose event is older than age, for good and without another attempt,
// and returns them: no key opens their webhook's secrets, so nothing can be sent that its receiver would accept. The
// time for which the webhook was paused does not count. Tests, and deliveries whose outcome is unknown, are left
// alone. The webhook counts as failed, but not as failing: its endpoint was not asked.
func (s *Store) ExpireUnreadable(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	var expired []hook.DeliveryID
	starts, err := s.withOperationalEvents(ctx, func(tx pgx.Tx, events *operationalEvents) error {
		// Webhooks are locked before deliveries, as everywhere.
		_, err := tx.Exec(ctx, `
			select from webhooks where id = any(array(select webhook_id from deliveries where id = any($1))) order by id for update`, raw(ids))
		if err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `
			update deliveries d set state = 'failed', error = $3, next_attempt_at = null, updated_at = now()
			where id = any(array(
				select d.id from deliveries d join webhooks w on w.id = d.webhook_id
				where d.id = any($1) and d.next_attempt_at is not null and d.state <> 'sending' and not d.test
					and greatest(d.created_at, coalesce(w.resumed_at, d.created_at)) < now() - $2::interval
				order by d.id for update of d))
			returning `+deliveryColumns, raw(ids), age, hook.TextSecretUnavailable)
		ended, err := collectDeliveries(rows)
		if err != nil || len(ended) == 0 {
			return err
		}
		events.failed(ended)
		if err := countFailed(ctx, tx, ended); err != nil {
			return err
		}
		webhooks := make([]hook.WebhookID, 0, len(ended))
		for i := range ended {
			expired, webhooks = append(expired, ended[i].ID), append(webhooks, ended[i].WebhookID)
		}
		_, err = tx.Exec(ctx, `update webhooks set health = 'failed' where id = any($1)`, raw(webhooks))
		return err
	})
	if err != nil {
		return hook.Ended{}, mapErr(fmt.Errorf("expire %d deliveries: %w", len(ids), err))
	}
	s.metrics.Ended(hook.StateFailed, len(expired))
	return hook.Ended{Deliveries: expired, Starts: starts}, nil
}
