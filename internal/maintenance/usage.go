package maintenance

import (
	"context"
	"errors"
	"time"
)

// Usage is what tenants have used (K10), and the statistics of webhooks (P6).
type Usage interface {
	// FoldUsage sums up what was counted longer ago than age, and returns how many rows that were.
	FoldUsage(ctx context.Context, age time.Duration) (int64, error)
	// PurgeChanges deletes what was noted longer ago than age for those who look for changes (P7).
	PurgeChanges(ctx context.Context, age time.Duration) error
	// PurgeStats deletes old statistics; of days, those older than an age, or none if that is 0.
	PurgeStats(ctx context.Context, days time.Duration) (int64, error)
	// PurgeUsage deletes the counts of hours that began longer ago than age, and returns how many.
	PurgeUsage(ctx context.Context, age time.Duration) (int64, error)
}

func (m *Maintenance) foldUsage(ctx context.Context) error {
	_, err := m.config.Store.FoldUsage(ctx, changesKept)
	return errors.Join(err, m.config.Store.PurgeChanges(ctx, changesKept))
}

func (m *Maintenance) purgeStats(ctx context.Context) error {
	_, err := m.config.Store.PurgeStats(ctx, m.config.UsageRetention)
	return err
}

func (m *Maintenance) purgeUsage(ctx context.Context) error {
	if m.config.UsageRetention == 0 {
		return nil
	}
	_, err := m.config.Store.PurgeUsage(ctx, m.config.UsageRetention)
	return err
}
