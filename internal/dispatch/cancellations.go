package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/hook"
)

// Endings is what Cancellations needs of the store.
type Endings interface {
	// ClaimCancellation takes one that nobody is at; false when there is none.
	ClaimCancellation(ctx context.Context) (hook.Cancellation, bool, error)
	// CancelPage cancels some of its deliveries; more says that there may be more of them.
	CancelPage(ctx context.Context, c hook.Cancellation) (more bool, err error)
	// ReleaseCancellation gives a claim back before its time.
	ReleaseCancellation(ctx context.Context, c hook.Cancellation) error
}

// Cancellations cancel what is outstanding for webhooks that were disabled or deleted, page
// by page. Every process does it; each cancellation is one process's at a time.
type Cancellations struct {
	Store  Endings
	Logger *slog.Logger
}

// cancelFor bounds a round, so that what else the sweeper does is not held up; the next
// round goes on.
const cancelFor = time.Second

// Round cancels for a second, or until there is nothing to cancel. One cancellation that
// fails keeps no other from its turn: its claim expires, and it is tried again then. The
// error is the first of them. A nil *Cancellations has nothing to do.
func (c *Cancellations) Round(ctx context.Context) error {
	if c == nil {
		return nil
	}
	var failed []error
	until := time.Now().Add(cancelFor)
	for time.Now().Before(until) && ctx.Err() == nil {
		claimed, ok, err := c.Store.ClaimCancellation(ctx)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		if !ok {
			break
		}
		if err := c.pages(ctx, claimed, until); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (c *Cancellations) pages(ctx context.Context, claimed hook.Cancellation, until time.Time) error {
	pages := 0
	for more := true; more; pages++ {
		if pages > 0 && (!time.Now().Before(until) || ctx.Err() != nil) {
			// A process that stops has lost its context, and gives it back all the same.
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			return c.Store.ReleaseCancellation(release, claimed)
		}
		var err error
		if more, err = c.Store.CancelPage(ctx, claimed); err != nil {
			return err
		}
	}
	c.Logger.DebugContext(ctx, "canceled what was outstanding", slog.String("webhook_id", claimed.WebhookID.String()), slog.Int("pages", pages))
	return nil
}
