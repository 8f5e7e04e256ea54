package storage

import (
	"context"
	"fmt"

	"grapnel/internal/hook"
)

// BeginTest marks a test as about to be sent. It returns false if the test was dropped because its caller gave up.
// The two exclude each other: a test that has begun is not dropped, and a dropped test does not begin. So it does not
// matter that a caller can't know whether a canceled order, or one whose answer was lost, has reached a worker.
func (s *Store) BeginTest(ctx context.Context, id hook.DeliveryID, claim hook.Claim) (begun bool, err error) {
	tag, err := s.pool.Exec(ctx, `update deliveries set claim = $2 where id = $1 and test`, [16]byte(id), [16]byte(claim))
	if err != nil {
		return false, mapErr(fmt.Errorf("begin test %s: %w", id, err))
	}
	return tag.RowsAffected() > 0, nil
}
