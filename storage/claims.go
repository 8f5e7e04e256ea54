package storage

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// ClaimDeliveries marks at-most-once deliveries as about to be sent, and returns
// those that it marked: the caller may send each of them once. The others have
// been claimed before, or ended. The mark is durable before it returns, so that
// no crash makes a message be sent twice (M7).
func (s *Store) ClaimDeliveries(ctx context.Context, ids []hook.DeliveryID) ([]hook.DeliveryID, error) {
	return s.move(ctx, ids, hook.StatePending, `state = 'sending'`)
}

// ReleaseDeliveries takes claims back: it is certain that nothing was sent.
func (s *Store) ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID) error {
	_, err := s.move(ctx, ids, hook.StateSending, `state = 'pending'`)
	return err
}

// DropDeliveries ends claimed deliveries whose sender went before it could say
// what came of them (M7). If it is still there and says so later, that counts.
func (s *Store) DropDeliveries(ctx context.Context, ids []hook.DeliveryID) error {
	_, err := s.move(ctx, ids, hook.StateSending, `state = 'dropped', error = $3, next_attempt_at = null`, hook.TextDropped)
	return err
}

// move changes those of the deliveries that are outstanding and in a state, and
// returns which. They are locked by id, as everywhere.
func (s *Store) move(ctx context.Context, ids []hook.DeliveryID, from hook.DeliveryState, set string, args ...any) ([]hook.DeliveryID, error) {
	rows, _ := s.pool.Query(ctx, `
		update deliveries set `+set+`, updated_at = now()
		where id = any(array(
			select id from deliveries where id = any($1) and state = $2 and next_attempt_at is not null order by id for update))
		returning id`, append([]any{raw(ids), string(from)}, args...)...)
	moved, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.DeliveryID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("move %d deliveries from %s: %w", len(ids), from, err))
	}
	return moved, nil
}
