package maintenance

import (
	"context"
	"time"

	"grapnel/internal/contract"
)

// Tests are the deliveries of sample events (S11).
type Tests interface {
	// CancelStaleTests cancels outstanding tests that are older than age.
	CancelStaleTests(ctx context.Context, age time.Duration) error
}

// staleTestAge is longer than any client waits for the outcome of a test.
const staleTestAge = 2 * contract.SendNowTimeout

func (m *Maintenance) cancelStaleTests(ctx context.Context) error {
	return m.config.Store.CancelStaleTests(ctx, staleTestAge)
}
