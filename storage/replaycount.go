package storage

import (
	"context"
	"fmt"
	"time"

	"grapnel/internal/hook"
)

const (
	// writersTimeout is how long a count waits for transactions that are storing events.
	writersTimeout = time.Second
	// writersPoll is how often it checks for them.
	writersPoll = 20 * time.Millisecond
)

// CountReplay counts the events that a replay would send if it began now, until it has counted most events or ctx
// ends; then it returns the count with the error. It includes the last seconds: it waits for transactions that were
// storing events when it began. The count is not complete if that takes too long, or if an event of the last seconds
// has an attempt to come whose outcome decides whether the replay sends it.
func (s *Store) CountReplay(ctx context.Context, r hook.Replay, most int) (hook.Estimate, error) {
	var n hook.Estimate
	w, err := s.Webhook(ctx, r.TenantID, r.WebhookID)
	if err != nil {
		return n, err
	}
	sure, err := s.waitForWriters(ctx, &r)
	if err != nil {
		return n, mapErr(fmt.Errorf("wait for events that are being stored: %w", err))
	}
	for r.Cursor = hook.EventID(hook.IDTime(r.Since)); n.Events < most; {
		page, err := pageBefore(ctx, s.lists, &r, &w, r.Until)
		if err != nil {
			return n, mapErr(fmt.Errorf("count what to replay: %w", err))
		}
		n.Events += len(page.chosen)
		sure = sure && !page.open
		if r.Cursor = page.last; page.exhausted {
			n.Complete = sure
			break
		}
	}
	return n, nil
}

// waitForWriters waits for the end of the transactions that are storing events now, if those events may belong to the
// replay (see lateLook). It reports whether they have ended.
func (s *Store) waitForWriters(ctx context.Context, r *hook.Replay) (ended bool, err error) {
	if time.Since(r.Until) >= replayLate {
		return true, nil
	}
	var writers []string
	if err := s.lists.QueryRow(ctx, `select `+writersNow).Scan(&writers); err != nil {
		return false, err
	}
	until := time.Now().Add(writersTimeout)
	look := time.NewTicker(writersPoll)
	defer look.Stop()
	for {
		ended, err := transactionsEnded(ctx, s.lists, writers)
		if ended || err != nil || time.Now().After(until) {
			return ended, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
