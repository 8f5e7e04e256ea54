package maintenance

import "context"

// IdempotencyKeys are the keys under which clients have published (S8).
type IdempotencyKeys interface {
	// PurgeIdempotencyKeys deletes the keys whose window has passed, and returns how many it deleted.
	PurgeIdempotencyKeys(ctx context.Context) (int64, error)
}

func (m *Maintenance) purgeIdempotencyKeys(ctx context.Context) error {
	_, err := m.config.Store.PurgeIdempotencyKeys(ctx)
	return err
}
