package maintenance

import (
	"context"
	"time"
)

// Partitions are the days into which the store divides events and deliveries.
type Partitions interface {
	// EnsurePartitions makes the partitions of the coming days that do not exist yet, and returns how many it made.
	EnsurePartitions(ctx context.Context) (int, error)
	// DropOldPartitions drops the days that ended longer ago than retention, and returns how many it dropped.
	DropOldPartitions(ctx context.Context, retention time.Duration) (int, error)
}

func (m *Maintenance) makePartitions(ctx context.Context) error {
	_, err := m.config.Store.EnsurePartitions(ctx)
	return err
}

func (m *Maintenance) dropPartitions(ctx context.Context) error {
	if m.config.Retention == 0 {
		return nil
	}
	_, err := m.config.Store.DropOldPartitions(ctx, m.config.Retention)
	return err
}
