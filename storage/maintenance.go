package storage

import (
	"context"
	"fmt"
	"time"
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

// DropOldPartitions drops the days that ended longer ago than retention, and
// returns how many. A day that has a delivery with an attempt to come stays
// (spec 11).
func (s *Store) DropOldPartitions(ctx context.Context, retention time.Duration) (dropped int, err error) {
	if err := s.pool.QueryRow(ctx, `select drop_partitions(now() - $1::interval)`, retention).Scan(&dropped); err != nil {
		return 0, mapErr(fmt.Errorf("drop old partitions: %w", err))
	}
	return dropped, nil
}
