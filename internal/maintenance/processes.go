package maintenance

import "context"

// Processes are the processes that make first attempts at the commit.
type Processes interface {
	// PurgeProcesses deletes the processes that died long ago.
	PurgeProcesses(ctx context.Context) error
}

func (m *Maintenance) purgeProcesses(ctx context.Context) error {
	return m.config.Store.PurgeProcesses(ctx)
}
