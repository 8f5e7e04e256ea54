package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

const (
	// replayPage is how many events a step looks at.
	replayPage = 500
	// replayCommitTime is how long an event usually takes from its id to its commit. Younger events are looked at
	// later. Events that take longer are found by the late look.
	replayCommitTime = 5 * time.Second
	// replayLate is how far the id of an event that is being stored may lie in the past: because of the wait for its
	// statement, the statement itself, and the clock of the process that accepts it.
	replayLate = 2 * time.Minute
	// replayWindow is how many seconds' worth of a replay's deliveries are outstanding at once. It makes canceling or
	// slowing down take effect soon, and does not bury an endpoint that is unavailable.
	replayWindow = 10
)

// ReplayStep advances a replay: it looks at the next events, and creates deliveries for those that the replay is
// about, at most as many as its rate leaves in a second in which made deliveries were created before. It stores all
// or nothing.
func (s *Store) ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error) {
	var step hook.ReplayStep
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		row, err := lockReplay(ctx, tx, id)
		if err != nil {
			return notFound("replay", err)
		}
		step = hook.ReplayStep{Replay: row.replay(), Changes: row.Changes} // reset: the transaction may be repeated
		r := &step.Replay
		if r.Ended() {
			step.Progress, err = replayProgress(ctx, tx, id)
			return err
		}
		if r.State != hook.ReplayRunning {
			// A change by an older binary shows in due_at only; it has been seen now.
			_, err = tx.Exec(ctx, `update replays set due_at = clock_timestamp() where id = $1 and due_at = '-infinity'`, [16]byte(id))
			return err
		}
		w, err := s.replayWebhook(ctx, tx, r)
		if err != nil {
			return err
		}
		if r.State == hook.ReplayRunning {
			if err := advanceReplay(ctx, tx, &step, &row, &w, r.Rate-made); err != nil {
				return err
			}
		}
		return updateReplay(ctx, tx, r, false)
	})
	if err != nil {
		return step, mapErr(fmt.Errorf("replay %s: %w", id, err))
	}
	return step, nil
}

// replayWebhook reads the webhook, which then can't be deleted before the transaction ends. If it is deleted or
// disabled already, the replay is canceled, with the reason.
func (s *Store) replayWebhook(ctx context.Context, tx pgx.Tx, r *hook.Replay) (hook.Webhook, error) {
	rows, _ := tx.Query(ctx, `select `+webhookColumns+` from webhooks w where w.id = $1 for share`, [16]byte(r.WebhookID))
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[webhookRow])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		r.State, r.Reason = hook.ReplayCanceled, hook.TextWebhookDeleted
		return hook.Webhook{}, nil
	case err != nil:
		return hook.Webhook{}, err
	case !row.Active:
		r.State, r.Reason = hook.ReplayCanceled, hook.TextWebhookDisabled
	}
	w, _ := s.unseal(row) // its secrets are not needed here
	return w, nil
}

func advanceReplay(ctx context.Context, tx pgx.Tx, step *hook.ReplayStep, row *lockedReplay, w *hook.Webhook, limit int) error {
	r := &step.Replay
	var outstanding int
	err := tx.QueryRow(ctx, `
		select count(*) from (
			select from deliveries where replay_id = $1 and state in ('pending', 'failed') and next_attempt_at is not null limit $2) d`,
		[16]byte(r.ID), r.Rate*replayWindow).Scan(&outstanding)
	if err != nil {
		return err
	}
	if step.Full = outstanding >= r.Rate*replayWindow; step.Full {
		return nil
	}
	page, err := nextPage(ctx, tx, r, w)
	if err != nil {
		return err
	}
	limit = max(limit, 1)
	page.cut(limit)
	if err := createReplayed(ctx, tx, step, w, page.chosen); err != nil {
		return err
	}
	r.Cursor, r.Looked, step.Looked = page.last, r.Looked+page.looked, page.looked
	if step.Exhausted = page.exhausted && step.Created < limit; step.Exhausted {
		late, err := lateLook(ctx, tx, row, w, limit-step.Created)
		if err != nil {
			return err
		}
		if err := createReplayed(ctx, tx, step, w, late.chosen); err != nil {
			return err
		}
		step.Looked, step.Exhausted = step.Looked+late.looked, late.exhausted
		r.Looked += len(late.chosen) // the others were looked at before
	}
	if !step.Exhausted {
		return nil
	}
	if step.Progress, err = replayProgress(ctx, tx, r.ID); err != nil {
		return err
	}
	if step.Progress.Outstanding == 0 {
		r.State = hook.ReplayCompleted
	}
	return nil
}

type replayedEvent struct {
	id        hook.EventID
	eventType string
}

// replayedPage is one page of events.
type replayedPage struct {
	chosen []replayedEvent
	// last is the last event looked at, looked is how many were looked at, and position is the number of each chosen
	// event among them.
	last      hook.EventID
	looked    int
	position  map[hook.EventID]int
	exhausted bool
	// open reports whether an event of the last seconds has an attempt to come, and may be chosen after that attempt.
	open bool
}

// cut leaves all but the first limit chosen events to the next page.
func (p *replayedPage) cut(limit int) {
	if len(p.chosen) <= limit {
		return
	}
	p.chosen = p.chosen[:limit]
	p.last, p.exhausted = p.chosen[limit-1].id, false
	p.looked = p.position[p.last]
}

// nextPage looks at the next events of a replay, without the last seconds.
func nextPage(ctx context.Context, q querier, r *hook.Replay, w *hook.Webhook) (replayedPage, error) {
	until := r.Until
	settled := time.Now().Add(-replayCommitTime)
	if settled.Before(until) {
		until = settled
	}
	page, err := pageBefore(ctx, q, r, w, until)
	page.exhausted = page.exhausted && until.Equal(r.Until)
	return page, err
}

// pageBefore looks at the next events of a replay before a time.
func pageBefore(ctx context.Context, q querier, r *hook.Replay, w *hook.Webhook, until time.Time) (replayedPage, error) {
	page := replayedPage{last: r.Cursor, position: map[hook.EventID]int{}}
	// The bound excludes the cursor. It begins as the bound of a time, which is no event's id, and is an event's id
	// later.
	rows, _ := q.Query(ctx, `
		select e.id, e.type from events e
		where e.tenant_id = $1 and e.id > $2 and e.id < $3 and not e.test and e.cache = $4 order by e.id limit $5`,
		[16]byte(r.TenantID), [16]byte(r.Cursor), hook.IDTime(until), w.Cache, replayPage)
	var e replayedEvent
	var ids []hook.EventID
	var taken []replayedEvent
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&e.id), &e.eventType}, func() error {
		page.looked++
		page.last = e.id
		if r.Takes(w, e.eventType) {
			page.position[e.id] = page.looked
			ids, taken = append(ids, e.id), append(taken, e)
		}
		return nil
	})
	if err != nil {
		return page, err
	}
	page.exhausted = page.looked < replayPage
	if len(ids) == 0 {
		return page, nil
	}
	pasts, err := pastDeliveries(ctx, q, r, w, ids)
	if err != nil {
		return page, err
	}
	for _, e := range taken {
		past := pasts[e.id]
		if r.Status.Chooses(past) {
			page.chosen = append(page.chosen, e)
			continue
		}
		if past.Outstanding {
			past.Outstanding = false
			page.open = page.open || r.Status.Chooses(past) && time.Since(e.id.Time()) < replayCommitTime
		}
	}
	return page, nil
}

// pastDeliveries summarizes the earlier deliveries of events to the replay's webhook.
func pastDeliveries(ctx context.Context, q querier, r *hook.Replay, w *hook.Webhook, events []hook.EventID) (map[hook.EventID]hook.Past, error) {
	args := sliceArgs(events, 0, 1)
	args["webhook"], args["replay"], args["generation"] = [16]byte(w.ID), [16]byte(r.ID), w.Generation
	rows, _ := q.Query(ctx, `
		select k.event_id, count(*), bool_or(d.state = 'success'), bool_or(d.next_attempt_at is not null and coalesce(d.generation >= @generation, true)),
			coalesce(bool_or(d.replay_id = @replay), false)
		from unnest(@events::uuid[], @los::uuid[], @his::uuid[]) as k(event_id, lo, hi)
		cross join lateral (select * from deliveries d where d.webhook_id = @webhook and d.id between k.lo and k.hi offset 0) d
		where d.event_id = k.event_id and not d.test
		group by k.event_id`, args)
	pasts := make(map[hook.EventID]hook.Past, len(events))
	var id hook.EventID
	var past hook.Past
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &past.Deliveries, &past.Succeeded, &past.Outstanding, &past.Replayed}, func() error {
		pasts[id] = past
		return nil
	})
	return pasts, err
}

// createReplayed creates the deliveries of the chosen events.
func createReplayed(ctx context.Context, tx pgx.Tx, step *hook.ReplayStep, w *hook.Webhook, chosen []replayedEvent) error {
	if len(chosen) == 0 {
		return nil
	}
	undrained, err := insertReplayed(ctx, tx, &step.Replay, w, chosen)
	if err != nil {
		return err
	}
	step.Undrained = step.Undrained || undrained
	step.Created += len(chosen)
	step.Replay.Created += len(chosen)
	return nil
}

// insertReplayed inserts deferred deliveries that are due one after the other, so that the oldest event is sent
// first. It reports whether no drain sends them yet.
func insertReplayed(ctx context.Context, tx pgx.Tx, r *hook.Replay, w *hook.Webhook, events []replayedEvent) (undrained bool, err error) {
	ids, of, types := make([][16]byte, len(events)), make([][16]byte, len(events)), make([]string, len(events))
	for i, e := range events {
		ids[i], of[i], types[i] = newDeliveryID(e.id), e.id, e.eventType
	}
	rows, _ := tx.Query(ctx, `
		with d as (
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked, replay_id, generation)
			select k.id, k.event_id, @webhook, @tenant, k.type, 'pending', now() + k.n * interval '1 microsecond', now(), now(), true, @replay, @generation
			from unnest(@ids::uuid[], @events::uuid[], @types::text[]) with ordinality as k(id, event_id, type, n) order by k.id
		), used as (`+usedByReplay+`
		), draining as (select webhook_id, idle from drains where webhook_id = @webhook for key share), `+wakeIdle+`
		insert into drains (webhook_id) select @webhook where not exists (select from draining)
		`+alreadyDraining+`
		returning xmax = 0`, pgx.StrictNamedArgs{
		"ids": ids, "events": of, "types": types,
		"webhook": [16]byte(r.WebhookID), "tenant": [16]byte(r.TenantID), "replay": [16]byte(r.ID), "generation": w.Generation,
	})
	_, err = pgx.ForEachRow(rows, []any{&undrained}, func() error { return nil })
	return undrained, err
}
