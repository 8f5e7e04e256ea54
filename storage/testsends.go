package storage

import (
	"context"
	"fmt"

	"grapnel/internal/hook"
)

// BeginTest marks a test as about to be sent, and returns false when there is none any
// more: whoever ordered it has given up and dropped it. The two exclude each other: a test
// that has begun is not dropped, one that was dropped does not begin. So it does not
// matter that a caller can't know whether an order that was taken back, or whose answer
// got lost, has reached a worker.
func (s *Store) BeginTest(ctx context.Context, id hook.DeliveryID, claim hook.Claim) (begun bool, err error) {
	tag, err := s.pool.Exec(ctx, `update deliveries set claim = $2 where id = $1 and test`, [16]byte(id), [16]byte(claim))
	if err != nil {
		return false, mapErr(fmt.Errorf("begin test %s: %w", id, err))
	}
	return tag.RowsAffected() > 0, nil
}
