package storage

import (
	"context"
	"fmt"
	"time"

	"grapnel/internal/hook"
)

const (
	// writersTimeout is how long a count waits for what is being stored.
	writersTimeout = time.Second
	// writersPoll is how often it looks.
	writersPoll = 20 * time.Millisecond
)

// CountReplay counts the events that a replay would send, were it begun now, until there
// are most or ctx ends; then it returns what it has counted with the error. The last seconds
// are counted too: what was being stored when it began is waited for. It is not complete
// where that takes long, or where an event of the last seconds has an attempt to come, on
// whose outcome it depends whether the replay sends it.
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

// waitForWriters waits until the transactions have ended that are storing events now, if what
// they store may be the replay's (see lateLook). It reports whether they have.
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
