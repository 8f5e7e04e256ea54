package storage

import (
	"context"
	"fmt"
)

// partitionsAhead is how many days ahead partitions are made: enough for a
// weekend in which no process of ours runs.
const partitionsAhead = 3

// EnsurePartitions makes the coming days' partitions and returns how many it made.
func (s *Store) EnsurePartitions(ctx context.Context) (made int, err error) {
	if err := s.pool.QueryRow(ctx, `select ensure_partitions($1)`, partitionsAhead).Scan(&made); err != nil {
		return 0, mapErr(fmt.Errorf("ensure partitions: %w", err))
	}
	return made, nil
}
