package storage

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// ClaimDeliveries marks at-most-once deliveries as about to be sent, and returns those that the claim now holds. The
// caller may send each of them once, to its webhook as it was loaded, which still has that version: it was not
// paused, disabled or deleted since, and its secret has not changed. The other deliveries are held by another claim,
// have ended, or must be loaded anew. The mark is durable before the method returns, so that no crash makes a message
// be sent twice (M7). Claiming again, after an answer was lost, returns the same deliveries again.
func (s *Store) ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error) {
	ids, versions := make([]hook.DeliveryID, len(list)), make([]int64, len(list))
	for i, w := range list {
		ids[i], versions[i] = w.ID, w.Version
	}
	return move(ctx, s.pool, ids, `(state = 'pending' or (state = 'sending' and claim = $2)) and exists (
			select from unnest($1::uuid[], $5::bigint[]) as k(id, version) join webhooks w on w.version = k.version
			where k.id = deliveries.id and w.id = deliveries.webhook_id offset 0)`,
		`state = 'sending', claim = $2`, [16]byte(claim), versions)
}

// ReleaseDeliveries takes a claim back, when it is certain that nothing was sent.
func (s *Store) ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) error {
	_, err := move(ctx, s.pool, ids, `state = 'sending' and claim = $2`, `state = 'pending', claim = null`, [16]byte(claim))
	return err
}

// DropDeliveries ends deliveries that were claimed longer ago than age and whose sender has disappeared without an
// outcome (M7), and returns them. If the sender is still there and records an outcome later, that counts.
func (s *Store) DropDeliveries(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	var dropped []hook.DeliveryID
	starts, err := s.withOperationalEvents(ctx, func(tx pgx.Tx, events *operationalEvents) (err error) {
		dropped, err = move(ctx, tx, ids, `state = 'sending' and updated_at <= now() - $2::interval`,
			`state = 'dropped', error = '`+hook.TextDropped+`', next_attempt_at = null`, age)
		if err != nil || len(dropped) == 0 {
			return err
		}
		deliveries, err := byID(ctx, tx, raw(dropped))
		if err != nil {
			return err
		}
		events.failed(deliveries)
		return countFailed(ctx, tx, deliveries)
	})
	if err != nil {
		return hook.Ended{}, mapErr(err)
	}
	s.metrics.Ended(hook.StateDropped, len(dropped))
	return hook.Ended{Deliveries: dropped, Starts: starts}, nil
}

// move updates those of the deliveries for which the condition holds, and returns their ids. They are locked by id,
// as everywhere. The condition must hold for outstanding states only, but not say "outstanding": the planner would go
// through everything outstanding. The bounds exclude the other days' partitions.
func move(ctx context.Context, q querier, ids []hook.DeliveryID, when, set string, arg any, more ...any) ([]hook.DeliveryID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	sorted := sortedIDs(ids)
	rows, _ := q.Query(ctx, `
		update deliveries set `+set+`, updated_at = now()
		where id between $3 and $4 and id = any(array(
			select id from deliveries where id between $3 and $4 and id = any($1) and (`+when+`) order by id for update))
		returning id`, append([]any{raw(ids), arg, [16]byte(sorted[0]), [16]byte(sorted[len(sorted)-1])}, more...)...)
	moved, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.DeliveryID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("set %s of %d deliveries: %w", set, len(ids), err))
	}
	return moved, nil
}

func sortedIDs[T ~[16]byte](ids []T) []T {
	return slices.SortedFunc(slices.Values(ids), func(a, b T) int { return bytes.Compare(a[:], b[:]) })
}
