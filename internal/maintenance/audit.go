package maintenance

import (
	"context"
	"time"
)

// AuditLog is the log of what clients have changed (K11).
type AuditLog interface {
	// PurgeAuditLog deletes the entries that are older than age, and returns how many it deleted.
	PurgeAuditLog(ctx context.Context, age time.Duration) (int64, error)
}

func (m *Maintenance) purgeAuditLog(ctx context.Context) error {
	if m.config.AuditRetention == 0 {
		return nil
	}
	_, err := m.config.Store.PurgeAuditLog(ctx, m.config.AuditRetention)
	return err
}
