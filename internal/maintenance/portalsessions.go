package maintenance

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

// PortalSessions are the sessions of the portal (P2).
type PortalSessions interface {
	// PurgeSessions deletes the sessions that expired longer ago than age, and returns how many it deleted.
	PurgeSessions(ctx context.Context, age time.Duration) (int64, error)
}

func (m *Maintenance) purgeSessions(ctx context.Context) error {
	_, err := m.config.Store.PurgeSessions(ctx, hook.SessionKeptFor)
	return err
}
