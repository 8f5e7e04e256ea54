package storage

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// ClaimDeliveries marks at-most-once deliveries as about to be sent, and returns
// those that the claim now holds: the caller may send each of them once. The
// others are held by another claim, or have ended. The mark is durable before it
// returns, so that no crash makes a message be sent twice (M7). Claiming again,
// because an answer got lost, gives the same ones again.
func (s *Store) ClaimDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) ([]hook.DeliveryID, error) {
	return s.move(ctx, ids, `state = 'pending' or (state = 'sending' and claim = $2)`, `state = 'sending', claim = $2`, [16]byte(claim))
}

// ReleaseDeliveries takes a claim back: it is certain that nothing was sent.
func (s *Store) ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) error {
	_, err := s.move(ctx, ids, `state = 'sending' and claim = $2`, `state = 'pending', claim = null`, [16]byte(claim))
	return err
}

// DropDeliveries ends claimed deliveries whose sender went before it could say
// what came of them (M7). If it is still there and says so later, that counts.
func (s *Store) DropDeliveries(ctx context.Context, ids []hook.DeliveryID) error {
	_, err := s.move(ctx, ids, `state = 'sending'`, `state = 'dropped', error = $2, next_attempt_at = null`, hook.TextDropped)
	return err
}

// move changes those of the deliveries that are outstanding and for which the
// condition holds, and returns which. They are locked by id, as everywhere.
func (s *Store) move(ctx context.Context, ids []hook.DeliveryID, when, set string, arg any) ([]hook.DeliveryID, error) {
	rows, _ := s.pool.Query(ctx, `
		update deliveries set `+set+`, updated_at = now()
		where id = any(array(
			select id from deliveries where id = any($1) and next_attempt_at is not null and (`+when+`) order by id for update))
		returning id`, raw(ids), arg)
	moved, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.DeliveryID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("set %s of %d deliveries: %w", set, len(ids), err))
	}
	return moved, nil
}
