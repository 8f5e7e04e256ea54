package delivery

import (
	"context"
	"log/slog"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// recordMargin is the time that is left for recording when the slowest request ends.
const recordMargin = 5 * time.Second

// record writes attempts. While the store is unavailable it tries again for as long as the
// activity may run: an attempt that is not recorded is made once more. After that the
// attempts are recorded late. Recording twice is safe.
func (e *Engine) record(ctx context.Context, records []hook.Record) (deliveries []hook.Delivery, err error) {
	// The context of a worker that stops has ended, but its attempts must be recorded.
	until := time.Now().Add(recordMargin)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-time.Second).After(until) {
		until = deadline.Add(-time.Second)
	}
	write, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	err = e.whileUnavailable(write, "record attempts", len(records), func() error {
		recorded, err := e.store.Record(write, records)
		e.Dispatch(recorded.Starts)
		deliveries = recorded.Deliveries
		return err
	})
	if err != nil && hook.KindOf(err) == hook.KindUnavailable {
		e.recordLate(ctx, records)
	}
	return deliveries, err
}

// storePause is the least time between two tries while the store is unavailable. storeJitter
// is the most that is added: callers that have failed together must not come again together.
const (
	storePause  = 250 * time.Millisecond
	storeJitter = 500 * time.Millisecond
)

// whileUnavailable calls do, and again while the store is unavailable, until ctx ends. It must
// be safe to call do twice. doing and n, a number of deliveries, are for the log.
func (e *Engine) whileUnavailable(ctx context.Context, doing string, n int, do func() error) error {
	for {
		err := do()
		if err == nil || hook.KindOf(err) != hook.KindUnavailable || ctx.Err() != nil {
			return err
		}
		e.log.WarnContext(ctx, "again: "+doing, slog.Int("deliveries", n), slog.Any("error", err))
		if wait.For(ctx, storePause+e.jitter(storeJitter)) != nil {
			return err
		}
	}
}
