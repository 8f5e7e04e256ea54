package maintenance

import (
	"context"
	"time"
)

// Usage is what tenants have used (K10).
type Usage interface {
	// FoldUsage sums up what was counted since the last time, and returns how many rows that were.
	FoldUsage(ctx context.Context) (int64, error)
	// PurgeUsage deletes the counts of hours that began longer ago than age, and returns how many.
	PurgeUsage(ctx context.Context, age time.Duration) (int64, error)
}

func (m *Maintenance) foldUsage(ctx context.Context) error {
	_, err := m.config.Store.FoldUsage(ctx)
	return err
}

func (m *Maintenance) purgeUsage(ctx context.Context) error {
	if m.config.UsageRetention == 0 {
		return nil
	}
	_, err := m.config.Store.PurgeUsage(ctx, m.config.UsageRetention)
	return err
}
