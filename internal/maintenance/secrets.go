package maintenance

import "context"

// Secrets are the secrets of webhooks and the signing keys of tenants.
type Secrets interface {
	// ForgetSecrets deletes secrets and signing keys that were rotated out and have expired, and returns how many it
	// deleted.
	ForgetSecrets(ctx context.Context) (int64, error)
}

func (m *Maintenance) purgeSecrets(ctx context.Context) error {
	_, err := m.config.Store.ForgetSecrets(ctx)
	return err
}
