package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/hook"
)

// Cancellations are the webhooks that were disabled or deleted and still have outstanding deliveries.
type Cancellations interface {
	// ClaimCancellation claims a cancellation that no process has claimed. It returns false when there is none.
	ClaimCancellation(ctx context.Context) (hook.Cancellation, bool, error)
	// CancelPage cancels some of the cancellation's deliveries, and reports whether there may be more of them.
	CancelPage(ctx context.Context, c hook.Cancellation) (more bool, err error)
	// ReleaseCancellation gives a claim back before it expires.
	ReleaseCancellation(ctx context.Context, c hook.Cancellation) error
}

// cancelFor bounds the cancelling of deliveries, so that it does not hold up the other jobs. The next call continues.
const cancelFor = time.Second

// cancelDeliveries cancels deliveries page by page for a second, or until there are none to cancel. A cancellation that
// fails stops none of the others: its claim expires, and then it is tried again. The error joins all failures.
func (m *Maintenance) cancelDeliveries(ctx context.Context) error {
	var failed []error
	until := time.Now().Add(cancelFor)
	for time.Now().Before(until) && ctx.Err() == nil {
		claimed, ok, err := m.config.Store.ClaimCancellation(ctx)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		if !ok {
			break
		}
		if err := m.cancelPages(ctx, claimed, until); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// releaseTimeout bounds the release of a claim by a process that is stopping.
const releaseTimeout = time.Second

// cancelPages cancels one page at least, and releases the claim if there are more pages than time.
func (m *Maintenance) cancelPages(ctx context.Context, claimed hook.Cancellation, until time.Time) error {
	pages := 0
	for more := true; more; pages++ {
		if pages > 0 && (!time.Now().Before(until) || ctx.Err() != nil) {
			// When the process is stopping, ctx has ended, and the claim is released all the same.
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
			defer cancel()
			return m.config.Store.ReleaseCancellation(release, claimed)
		}
		var err error
		if more, err = m.config.Store.CancelPage(ctx, claimed); err != nil {
			return err
		}
	}
	m.config.Logger.DebugContext(ctx, "outstanding deliveries canceled",
		slog.String("webhook_id", claimed.WebhookID.String()), slog.Int("pages", pages))
	return nil
}
