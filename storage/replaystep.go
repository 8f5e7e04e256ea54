package storage

import (
	"context"
	"fmt"
	"slices"
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
	ahead, err := s.lookAhead(ctx, id, made)
	if err != nil {
		return step, mapErr(fmt.Errorf("look ahead for replay %s: %w", id, err))
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
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
		if r.Many {
			err = advanceMany(ctx, tx, &step, &row, ahead, r.Rate-made)
		} else {
			err = advanceOne(ctx, tx, &step, &row, r.Rate-made)
		}
		if err != nil {
			return err
		}
		return updateReplay(ctx, tx, r, false)
	})
	if err != nil {
		return step, mapErr(fmt.Errorf("replay %s: %w", id, err))
	}
	s.metrics.Replayed(step.Created)
	return step, nil
}

// advanceOne advances a replay of one webhook. If the webhook is deleted or disabled, the replay is canceled, with the
// reason.
func advanceOne(ctx context.Context, tx pgx.Tx, step *hook.ReplayStep, row *lockedReplay, limit int) error {
	r := &step.Replay
	webhooks, err := lockReplayed(ctx, tx, r.TenantID, []hook.WebhookID{r.WebhookID})
	switch {
	case err != nil:
		return err
	case len(webhooks) == 0:
		r.State, r.Reason = hook.ReplayCanceled, hook.TextWebhookDeleted
	case !webhooks[0].Active:
		r.State, r.Reason = hook.ReplayCanceled, hook.TextWebhookDisabled
	default:
		return advanceReplay(ctx, tx, step, row, &webhooks[0], limit)
	}
	return nil
}

// lockReplayed locks webhooks, in their order: they can't be deleted before the transaction ends, and no step of another
// replay looks at their deliveries meanwhile. So two replays never send an event twice because neither saw the other's
// delivery, which a Momento webhook must not get.
func lockReplayed(ctx context.Context, tx pgx.Tx, tenant hook.TenantID, webhooks []hook.WebhookID) ([]hook.Webhook, error) {
	return replayedWebhooks(ctx, tx, `w.id = any(@ids) and w.tenant_id = @tenant`, `for no key update`,
		pgx.StrictNamedArgs{"ids": raw(webhooks), "tenant": [16]byte(tenant)})
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
	if err := createReplayed(ctx, tx, step, page.chosen); err != nil {
		return err
	}
	r.Cursor, r.Looked, step.Looked = page.last.id, r.Looked+page.looked, page.looked
	if step.Exhausted = page.exhausted && step.Created < limit; step.Exhausted {
		late, err := lateLook(ctx, tx, row, w, limit-step.Created)
		if err != nil {
			return err
		}
		if err := createReplayed(ctx, tx, step, late.chosen); err != nil {
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

// nextPage looks at the next events of a replay of one webhook, without the last seconds.
func nextPage(ctx context.Context, q querier, r *hook.Replay, w *hook.Webhook) (replayedPage, error) {
	until := settledUntil(r)
	page, err := pageBefore(ctx, q, r, w, until)
	page.exhausted = page.exhausted && until.Equal(r.Until)
	return page, err
}

// settledUntil returns the time before which a replay can look: its end, or a few seconds ago.
func settledUntil(r *hook.Replay) time.Time {
	if settled := time.Now().Add(-replayCommitTime); settled.Before(r.Until) {
		return settled
	}
	return r.Until
}

// pageBefore looks at the next events of a replay of one webhook before a time.
func pageBefore(ctx context.Context, q querier, r *hook.Replay, w *hook.Webhook, until time.Time) (replayedPage, error) {
	page, err := eventsPage(ctx, q, r, []hook.Webhook{*w}, replayPosition{id: r.Cursor}, until, replayPage)
	if err == nil {
		err = page.choose(ctx, q, r)
	}
	return page, err
}

// createReplayed creates the chosen deliveries.
func createReplayed(ctx context.Context, tx pgx.Tx, step *hook.ReplayStep, chosen []replayed) error {
	if len(chosen) == 0 {
		return nil
	}
	undrained, err := insertReplayed(ctx, tx, &step.Replay, chosen)
	if err != nil {
		return err
	}
	for _, w := range undrained {
		if !slices.Contains(step.Undrained, w) {
			step.Undrained = append(step.Undrained, w)
		}
	}
	step.Created += len(chosen)
	step.Replay.Created += len(chosen)
	return nil
}

// insertReplayed inserts deferred deliveries that are due one after the other, so that the oldest event is sent
// first. It returns the webhooks for which no drain sends them yet.
func insertReplayed(ctx context.Context, tx pgx.Tx, r *hook.Replay, list []replayed) (undrained []hook.WebhookID, err error) {
	n := len(list)
	ids, of, webhooks, types, generations := make([][16]byte, n), make([][16]byte, n), make([][16]byte, n), make([]string, n), make([]int, n)
	for i, c := range list {
		ids[i], of[i], webhooks[i], types[i], generations[i] = newDeliveryID(c.event), c.event, c.webhook, c.eventType, c.generation
	}
	rows, _ := tx.Query(ctx, `
		with d as (
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked, replay_id, generation)
			select k.id, k.event_id, k.webhook_id, @tenant, k.type, 'pending', now() + k.n * interval '1 microsecond', now(), now(), true, @replay, k.generation
			from unnest(@ids::uuid[], @events::uuid[], @webhooks::uuid[], @types::text[], @generations::int[]) with ordinality
				as k(id, event_id, webhook_id, type, generation, n) order by k.id
		), used as (`+usedByReplay+`
		), draining as (select webhook_id, idle from drains where webhook_id = any(@webhooks) order by webhook_id for key share), `+wakeIdle+`
		insert into drains (webhook_id) select distinct id from unnest(@webhooks::uuid[]) as id
		where id not in (select webhook_id from draining) order by id
		`+alreadyDraining+`
		returning webhook_id, xmax = 0`, pgx.StrictNamedArgs{
		"ids": ids, "events": of, "webhooks": webhooks, "types": types, "generations": generations,
		"tenant": [16]byte(r.TenantID), "replay": [16]byte(r.ID),
	})
	var w hook.WebhookID
	var added bool
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&w), &added}, func() error {
		if added {
			undrained = append(undrained, w)
		}
		return nil
	})
	return undrained, err
}
