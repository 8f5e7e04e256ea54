package storage

import (
	"bytes"
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
	// replaySettle is how long an event may take from its id to its commit. What is
	// younger is looked at later, so that none is missed that was being accepted.
	replaySettle = 5 * time.Second
	// replayWindow is how many seconds' worth of a replay's deliveries wait at once: what
	// is canceled or slowed down then soon is, and an endpoint that is away is not buried.
	replayWindow = 10
)

// ReplayStep goes on with a replay: it looks at the next events, and makes deliveries for
// those that it is about, at most as many as its rate leaves in a second in which made were
// made before. All of it or nothing is stored.
func (s *Store) ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error) {
	var step hook.ReplayStep
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		step = hook.ReplayStep{} // the transaction may be begun anew
		r := &step.Replay
		var err error
		if *r, err = lockReplay(ctx, tx, id); err != nil {
			return notFound("replay", err)
		}
		if r.Ended() {
			step.Progress, err = replayProgress(ctx, tx, id)
			return err
		}
		if r.State != hook.ReplayRunning {
			return nil
		}
		w, err := s.replayed(ctx, tx, r)
		if err != nil {
			return err
		}
		if r.State == hook.ReplayRunning {
			if err := replayOn(ctx, tx, &step, &w, r.Rate-made); err != nil {
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

// replayed reads the webhook, which then can't go before the transaction ends; where it
// went before, the replay is canceled, with the reason.
func (s *Store) replayed(ctx context.Context, tx pgx.Tx, r *hook.Replay) (hook.Webhook, error) {
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

func replayOn(ctx context.Context, tx pgx.Tx, step *hook.ReplayStep, w *hook.Webhook, limit int) error {
	r := &step.Replay
	var waiting int
	err := tx.QueryRow(ctx, `
		select count(*) from (
			select from deliveries where replay_id = $1 and state in ('pending', 'failed') and next_attempt_at is not null limit $2) d`,
		[16]byte(r.ID), r.Rate*replayWindow).Scan(&waiting)
	if err != nil {
		return err
	}
	if step.Full = waiting >= r.Rate*replayWindow; step.Full {
		return nil
	}
	page, err := nextPage(ctx, tx, r, w)
	if err != nil {
		return err
	}
	chosen := page.chosen
	if limit = max(limit, 1); len(chosen) > limit {
		chosen = chosen[:limit]
		page.last, page.exhausted = chosen[limit-1].id, false
		page.looked = page.position[page.last]
	}
	if len(chosen) > 0 {
		if step.Undrained, err = insertReplayed(ctx, tx, r, w, chosen); err != nil {
			return err
		}
	}
	r.Cursor, r.Looked, r.Created = page.last, r.Looked+page.looked, r.Created+len(chosen)
	step.Looked, step.Created, step.Exhausted = page.looked, len(chosen), page.exhausted
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
	// last is the last event looked at; looked is how many were, and position of each
	// chosen one its number among them.
	last      hook.EventID
	looked    int
	position  map[hook.EventID]int
	exhausted bool
}

// nextPage looks at the next events of a replay.
func nextPage(ctx context.Context, q querier, r *hook.Replay, w *hook.Webhook) (replayedPage, error) {
	page := replayedPage{last: r.Cursor, position: map[hook.EventID]int{}}
	until := r.Until
	settled := time.Now().Add(-replaySettle)
	if settled.Before(until) {
		until = settled
	}
	// From the cursor on, and not including it: it begins as the bound of a time, which no
	// event's id is, and is then an event's.
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
	page.exhausted = page.looked < replayPage && until.Equal(r.Until)
	if len(ids) == 0 {
		return page, nil
	}
	pasts, err := pastsOf(ctx, q, w, ids)
	if err != nil {
		return page, err
	}
	for _, e := range taken {
		if r.Status.Chooses(pasts[e.id]) {
			page.chosen = append(page.chosen, e)
		}
	}
	return page, nil
}

// pastsOf is what became of events at a webhook.
func pastsOf(ctx context.Context, q querier, w *hook.Webhook, events []hook.EventID) (map[hook.EventID]hook.Past, error) {
	args := sliceArgs(events, 0, 1)
	args["webhook"], args["generation"] = [16]byte(w.ID), w.Generation
	rows, _ := q.Query(ctx, `
		select k.event_id, count(*), bool_or(d.state = 'success'), bool_or(d.next_attempt_at is not null and coalesce(d.generation >= @generation, true))
		from unnest(@events::uuid[], @los::uuid[], @his::uuid[]) as k(event_id, lo, hi)
		cross join lateral (select * from deliveries d where d.webhook_id = @webhook and d.id between k.lo and k.hi offset 0) d
		where d.event_id = k.event_id and not d.test
		group by k.event_id`, args)
	pasts := make(map[hook.EventID]hook.Past, len(events))
	var id hook.EventID
	var past hook.Past
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &past.Deliveries, &past.Succeeded, &past.Outstanding}, func() error {
		pasts[id] = past
		return nil
	})
	return pasts, err
}

// insertReplayed makes the deliveries, parked; it tells whether no drain sends them yet.
func insertReplayed(ctx context.Context, tx pgx.Tx, r *hook.Replay, w *hook.Webhook, events []replayedEvent) (undrained bool, err error) {
	ids, of, types := make([][16]byte, len(events)), make([][16]byte, len(events)), make([]string, len(events))
	for i, e := range events {
		ids[i], of[i], types[i] = newDeliveryID(e.id), e.id, e.eventType
	}
	err = tx.QueryRow(ctx, `
		with d as (
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked, replay_id, generation)
			select k.id, k.event_id, @webhook, @tenant, k.type, 'pending', now(), now(), now(), true, @replay, @generation
			from unnest(@ids::uuid[], @events::uuid[], @types::text[]) as k(id, event_id, type) order by k.id
		)
		insert into drains (webhook_id) values (@webhook)
		on conflict (webhook_id) do update set due_at = '-infinity'
		returning xmax = 0`, pgx.StrictNamedArgs{
		"ids": ids, "events": of, "types": types,
		"webhook": [16]byte(r.WebhookID), "tenant": [16]byte(r.TenantID), "replay": [16]byte(r.ID), "generation": w.Generation,
	}).Scan(&undrained)
	return undrained, err
}

// CountReplay counts the events that a replay would send again, until there are most or
// ctx ends.
func (s *Store) CountReplay(ctx context.Context, r hook.Replay, most int) (hook.Estimate, error) {
	w, err := s.Webhook(ctx, r.TenantID, r.WebhookID)
	if err != nil {
		return hook.Estimate{}, err
	}
	var n hook.Estimate
	for r.Cursor = hook.EventID(hook.IDTime(r.Since)); !n.Complete && n.Events < most; {
		page, err := nextPage(ctx, s.pool, &r, &w)
		if err != nil {
			return n, mapErr(fmt.Errorf("count what to replay: %w", err))
		}
		n.Events += len(page.chosen)
		n.Complete = page.exhausted || bytes.Equal(page.last[:], r.Cursor[:])
		r.Cursor = page.last
	}
	return n, nil
}
