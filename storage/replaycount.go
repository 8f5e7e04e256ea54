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
	if r.Many {
		return s.countMany(ctx, &r, most)
	}
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
			return n, mapErr(fmt.Errorf("count events to replay: %w", err))
		}
		n.Events += len(page.chosen)
		sure = sure && !page.open
		if r.Cursor = page.last.id; page.exhausted {
			n.Complete = sure
			break
		}
	}
	return n, nil
}

// countMany counts what a replay over several webhooks would send, for each of them.
func (s *Store) countMany(ctx context.Context, r *hook.Replay, most int) (hook.Estimate, error) {
	n := hook.Estimate{Webhooks: map[hook.WebhookID]int{}}
	sure := true
	if r.DeliveryIDs == nil {
		var err error
		if sure, err = s.waitForWriters(ctx, r); err != nil {
			return n, mapErr(fmt.Errorf("wait for events that are being stored: %w", err))
		}
	}
	type pair struct {
		event   hook.EventID
		webhook hook.WebhookID
	}
	counted := map[pair]bool{} // two deliveries of an event may be found for one webhook
	for at := positionAt(r.Since); n.Events < most; {
		page, err := s.countedPage(ctx, r, at)
		if err != nil {
			return n, mapErr(fmt.Errorf("count deliveries to replay: %w", err))
		}
		for _, c := range page.chosen {
			if key := (pair{c.event, c.webhook}); !counted[key] {
				counted[key] = true
				n.Events++
				n.Webhooks[c.webhook]++
			}
		}
		sure = sure && !page.open
		if at = page.last; page.exhausted {
			n.Complete = sure
			break
		}
	}
	return n, nil
}

// countedPage returns the next page of a replay over several webhooks, with what is chosen.
func (s *Store) countedPage(ctx context.Context, r *hook.Replay, at replayPosition) (page replayedPage, err error) {
	if r.Searches() {
		if page, err = s.searchPage(ctx, r, hook.WebhookID{}, nil, at, r.Until, mostCandidates); err != nil {
			return page, err
		}
		if err := page.kept(ctx, s.lists); err != nil {
			return page, err
		}
		webhooks, err := s.WebhooksToReplay(ctx, r.TenantID, page.webhooks())
		if err != nil {
			return page, err
		}
		page.only(r, webhooks)
	} else {
		plan := replayPlan{walks: []replayWalk{{at: at}}}
		plan.next = &plan.walks[0]
		if page, err = manyPage(ctx, s.lists, r, &plan, r.Until, mostCandidates); err != nil {
			return page, err
		}
	}
	return page, page.choose(ctx, s.lists, r)
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
