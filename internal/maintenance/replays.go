package maintenance

import (
	"context"
	"time"
)

// Replays are the records of replays.
type Replays interface {
	// PurgeReplays deletes the replays that ended longer ago than age.
	PurgeReplays(ctx context.Context, age time.Duration) error
}

// purgeReplays keeps the record of a replay as long as the deliveries that it made.
func (m *Maintenance) purgeReplays(ctx context.Context) error {
	if m.config.Retention == 0 {
		return nil
	}
	return m.config.Store.PurgeReplays(ctx, m.config.Retention)
}
