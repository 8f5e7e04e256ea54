package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// replayAhead is what a search has found for the next step of a replay. It is read before the step's transaction: a
// search's settings and time-out are not for what stores.
type replayAhead struct {
	walk   replayWalk
	behind int
	page   replayedPage
}

// lookAhead searches for the next deliveries of a replay that goes through deliveries; nil for any other, and if the
// replay has nothing to look at now.
func (s *Store) lookAhead(ctx context.Context, id hook.ReplayID, made int) (*replayAhead, error) {
	rows, _ := s.pool.Query(ctx, `select `+replayColumns+` from replays r where r.id = $1 and r.many and r.state = 'running'`, [16]byte(id))
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[replayRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is nothing to look at, and no error
	}
	if err != nil {
		return nil, err
	}
	r := row.replay()
	if !r.Searches() {
		return nil, nil //nolint:nilnil // as above
	}
	plan, err := planReplay(ctx, s.pool, &r)
	if err != nil || plan.next == nil {
		return nil, err
	}
	a := &replayAhead{walk: *plan.next, behind: len(plan.behind())}
	a.page, err = s.searchPage(ctx, &r, a.walk.webhook, plan.behind(), a.walk.at, settledUntil(&r), pageSize(r.Rate-made))
	return a, err
}

// pageSize returns how many candidates a page has, for so many that may be sent.
func pageSize(limit int) int { return min(max(4*limit, leastCandidates), mostCandidates) }

// searchPage searches for the next deliveries of a replay before a time: those of one webhook, or of all but those behind if
// that is zero.
func (s *Store) searchPage(
	ctx context.Context, r *hook.Replay, webhook hook.WebhookID, behind []hook.WebhookID, at replayPosition, until time.Time, most int,
) (replayedPage, error) {
	search := r.Search()
	switch {
	case webhook != hook.WebhookID{}:
		search.WebhookID, search.WebhookIDs = webhook, nil
	case search.WebhookIDs != nil:
		search.WebhookIDs = slices.DeleteFunc(slices.Clone(search.WebhookIDs), func(id hook.WebhookID) bool { return slices.Contains(behind, id) })
		if len(search.WebhookIDs) == 0 {
			return replayedPage{last: at, exhausted: true}, nil
		}
		if len(search.WebhookIDs) == 1 {
			search.WebhookID, search.WebhookIDs = search.WebhookIDs[0], nil
		}
	default:
		search.Except = behind
	}
	p := hook.Page{Limit: most, Before: &at.id, Since: r.Since, Until: until}
	if r.DeliveryIDs != nil {
		p.Since, p.Until = time.Time{}, time.Time{}
	}
	found, next, err := s.findDeliveries(ctx, hook.OneTenant(r.TenantID), search, p, true)
	if err != nil {
		return replayedPage{}, err
	}
	page := deliveriesPage(found, at, next)
	page.exhausted = page.exhausted && (r.DeliveryIDs != nil || until.Equal(r.Until))
	return page, nil
}

// advanceMany advances a replay over several webhooks. If none of them can get anything any more, it is canceled.
func advanceMany(ctx context.Context, tx pgx.Tx, step *hook.ReplayStep, row *lockedReplay, ahead *replayAhead, limit int) error {
	r := &step.Replay
	plan, err := planReplay(ctx, tx, r)
	if err != nil {
		return err
	}
	switch {
	case len(plan.detach) > 0:
		step.Again = true
		return detachWebhooks(ctx, tx, r, plan.detach)
	case plan.ended:
		step.Exhausted, r.Cursor = true, plan.cursor(r)
		if step.Progress, err = replayProgress(ctx, tx, r.ID); err == nil && step.Progress.Outstanding == 0 {
			r.State = hook.ReplayCompleted
		}
		return err
	case plan.next == nil:
		step.Full = true
		return nil
	}
	left, err := webhookLeft(ctx, tx, r)
	if err != nil {
		return err
	}
	if !left {
		r.State, r.Reason = hook.ReplayCanceled, hook.TextNoWebhookLeft
		return nil
	}
	walk, until := plan.next, settledUntil(r)
	var page replayedPage
	switch {
	case !r.Searches():
		page, err = manyPage(ctx, tx, r, &plan, until, pageSize(limit))
	case ahead == nil || !ahead.walk.is(walk) || ahead.behind != len(plan.behind()):
		step.Again = true // another step has come in between
		return nil
	default:
		page = ahead.page
		err = page.kept(ctx, tx)
	}
	if err != nil {
		return err
	}
	if err := page.lock(ctx, tx, r); err != nil {
		return err
	}
	if err := page.choose(ctx, tx, r); err != nil {
		return err
	}
	page.cut(max(limit, 1))
	if err := createReplayed(ctx, tx, step, page.chosen); err != nil {
		return err
	}
	step.Looked = page.looked
	step.Again = !page.exhausted && page.looked == 0 && page.last.id != walk.at.id // a search that has found nothing yet
	if walk.late {
		r.Looked += len(page.chosen) // the others were looked at before
	} else {
		r.Looked += page.looked
	}
	walk.at = page.last
	if page.exhausted {
		if err := walk.end(ctx, tx, row, r); err != nil {
			return err
		}
		step.Again = walk.late || walk.ended
	}
	r.Cursor = plan.cursor(r)
	return saveWalk(ctx, tx, r, walk)
}

// end ends a way that has come to its end, or lets it look once more at what was stored late (see lateLook), as soon as
// that is stored.
func (w *replayWalk) end(ctx context.Context, tx pgx.Tx, row *lockedReplay, r *hook.Replay) error {
	if w.late || r.DeliveryIDs != nil || !looksLate(r) {
		w.ended = true
		return nil
	}
	stored, err := lateWritersEnded(ctx, tx, row)
	if err == nil && stored {
		w.late, w.at = true, lateFrom(r)
	}
	return err
}

// lock locks the webhooks of the candidates, and leaves out those that may not get anything.
func (p *replayedPage) lock(ctx context.Context, tx pgx.Tx, r *hook.Replay) error {
	if len(p.candidates) == 0 {
		return nil
	}
	webhooks, err := lockReplayed(ctx, tx, r.TenantID, p.webhooks())
	if err == nil {
		p.only(r, webhooks)
	}
	return err
}

// webhooks returns the webhooks of the candidates.
func (p *replayedPage) webhooks() (list []hook.WebhookID) {
	seen := map[hook.WebhookID]bool{}
	for i := range p.candidates {
		if id := p.candidates[i].webhook; !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return list
}

// manyPage looks at the next events before a time, for the webhooks of the plan's next way.
func manyPage(ctx context.Context, q querier, r *hook.Replay, plan *replayPlan, until time.Time, most int) (replayedPage, error) {
	ids, except := r.WebhookIDs, plan.behind()
	if plan.next.webhook != (hook.WebhookID{}) {
		ids, except = []hook.WebhookID{plan.next.webhook}, nil
	}
	scope, err := replayScope(ctx, q, r, ids, except)
	if err != nil {
		return replayedPage{}, fmt.Errorf("read webhooks: %w", err)
	}
	page, err := eventsPage(ctx, q, r, scope, plan.next.at, until, most)
	page.exhausted = page.exhausted && (until.Equal(r.Until) || len(scope) == 0)
	return page, err
}

// ofReplay is the condition for a webhook w to belong to a replay over several: webhooks that are made later do not. The
// clocks of two processes may differ by some seconds.
const ofReplay = `w.tenant_id = @tenant and w.active and (w.id = any(@ids) or @ids::uuid[] is null and w.created_at <= @begun)`

func ofReplayArgs(r *hook.Replay, ids []hook.WebhookID) pgx.StrictNamedArgs {
	begun := time.Now()
	if !r.CreatedAt.IsZero() { // it is only counted
		begun = r.CreatedAt
	}
	return pgx.StrictNamedArgs{"tenant": [16]byte(r.TenantID), "ids": rawOrNull(ids), "begun": begun.Add(replayCommitTime)}
}

// replayScope returns the webhooks that a replay may send to: of ids, or of all if that is nil, without some.
func replayScope(ctx context.Context, q querier, r *hook.Replay, ids, except []hook.WebhookID) ([]hook.Webhook, error) {
	args := ofReplayArgs(r, ids)
	args["except"] = raw(except)
	webhooks, err := replayedWebhooks(ctx, q, ofReplay+` and w.id <> all(@except)`, "", args)
	return slices.DeleteFunc(webhooks, func(w hook.Webhook) bool { return r.LeavesOut(&w) != "" }), err
}

// webhookLeft reports whether a replay has a webhook that is active.
func webhookLeft(ctx context.Context, tx pgx.Tx, r *hook.Replay) (left bool, err error) {
	err = tx.QueryRow(ctx, `select exists (select from webhooks w where `+ofReplay+`)`, ofReplayArgs(r, r.WebhookIDs)).Scan(&left)
	return left, err
}
