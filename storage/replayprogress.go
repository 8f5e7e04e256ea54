package storage

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// ReplayProgress counts the deliveries of a replay by outcome.
func (s *Store) ReplayProgress(ctx context.Context, id hook.ReplayID) (hook.ReplayProgress, error) {
	p, err := replayProgress(ctx, s.pool, id)
	if err != nil {
		return p, mapErr(fmt.Errorf("count deliveries of replay %s: %w", id, err))
	}
	return p, nil
}

// countReplayed are the counts of a replay's deliveries d, joined with their webhooks w: succeeded, canceled, outstanding
// and all.
const countReplayed = `count(*) filter (where d.state = 'success'), count(*) filter (where d.state = 'canceled' or ` + revoked + `),
			count(*) filter (where d.next_attempt_at is not null and not coalesce(` + revoked + `, false)), count(d.id)`

func replayProgress(ctx context.Context, q querier, id hook.ReplayID) (p hook.ReplayProgress, err error) {
	rows, _ := q.Query(ctx, `
		select `+countReplayed+` from deliveries d left join webhooks w on w.id = d.webhook_id where d.replay_id = $1`, [16]byte(id))
	var all int
	_, err = pgx.ForEachRow(rows, []any{&p.Succeeded, &p.Canceled, &p.Outstanding, &all}, func() error { return nil })
	p.Failed = all - p.Succeeded - p.Canceled - p.Outstanding
	return p, err
}

// ReplayWebhooks returns the state of the webhooks of a replay over several, at most so many: those with deliveries come
// first, then the others by id. more reports whether there are others.
func (s *Store) ReplayWebhooks(ctx context.Context, r *hook.Replay, most int) (list []hook.ReplayWebhook, more bool, err error) {
	rows, _ := s.lists.Query(ctx, `
		with made (webhook_id, succeeded, canceled, outstanding, total) as (
			select d.webhook_id, `+countReplayed+` from deliveries d left join webhooks w on w.id = d.webhook_id
			where d.replay_id = @replay group by d.webhook_id
		), named as (
			select id from unnest(@ids::uuid[]) as id
			union select id from webhooks where @ids::uuid[] is null and tenant_id = @tenant and created_at <= @begun
			union select webhook_id from made
		)
		select n.id, coalesce(m.succeeded, 0), coalesce(m.canceled, 0), coalesce(m.outstanding, 0), coalesce(m.total, 0),
			w.id is not null, coalesce(w.active, false), coalesce(w.profile, ''),
			exists (select from replay_walks k where k.replay_id = @replay and k.webhook_id = n.id and not k.ended)
		from named n left join made m on m.webhook_id = n.id left join webhooks w on w.id = n.id
		order by m.webhook_id is null, n.id limit @most`, pgx.StrictNamedArgs{
		"replay": [16]byte(r.ID), "tenant": [16]byte(r.TenantID), "ids": rawOrNull(r.WebhookIDs), "begun": r.CreatedAt.Add(replayCommitTime), "most": most + 1,
	})
	var w hook.ReplayWebhook
	var webhook hook.Webhook
	var exists bool
	var all int
	targets := []any{
		(*[16]byte)(&w.WebhookID), &w.Succeeded, &w.Canceled, &w.Outstanding, &all, &exists, &webhook.Active, (*string)(&webhook.Profile), &w.Behind,
	}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		w.Failed = all - w.Succeeded - w.Canceled - w.Outstanding
		if w.LeftOut = r.LeavesOut(nil); exists {
			w.LeftOut = r.LeavesOut(&webhook)
		}
		list = append(list, w)
		return nil
	})
	if err != nil {
		return nil, false, mapErr(fmt.Errorf("count deliveries of replay %s by webhook: %w", r.ID, err))
	}
	list, more = cut(list, most)
	return list, more, nil
}

// WebhooksToReplay returns webhooks of a tenant, the given ones or all, in the order of ids, with what decides whether a
// replay may send to them: no secrets, no headers. Those that don't exist are left out.
func (s *Store) WebhooksToReplay(ctx context.Context, tenant hook.TenantID, ids []hook.WebhookID) ([]hook.Webhook, error) {
	list, err := replayedWebhooks(ctx, s.lists, `w.tenant_id = @tenant and (@ids::uuid[] is null or w.id = any(@ids))`, "",
		pgx.StrictNamedArgs{"tenant": [16]byte(tenant), "ids": rawOrNull(ids)})
	if err != nil {
		return nil, mapErr(fmt.Errorf("read webhooks to replay: %w", err))
	}
	return list, nil
}

// replayedWebhooks reads what a replay needs of webhooks w, in the order of ids, and locks them; an empty lock is none.
func replayedWebhooks(ctx context.Context, q querier, condition, lock string, args pgx.StrictNamedArgs) (list []hook.Webhook, err error) {
	rows, _ := q.Query(ctx, `
		select w.id, w.tenant_id, w.profile, w.cache, w.events, w.active, w.generation from webhooks w where `+condition+` order by w.id `+lock, args)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w hook.Webhook, err error) {
		return w, row.Scan((*[16]byte)(&w.ID), (*[16]byte)(&w.TenantID), (*string)(&w.Profile), &w.Cache, &w.Events, &w.Active, &w.Generation)
	})
}
