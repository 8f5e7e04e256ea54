package storage

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// A replay over several webhooks (A6) goes through events, or deliveries, for all of its webhooks together. Only a
// bounded number of its deliveries is outstanding at once (replayWindow). So that one webhook whose endpoint does not
// answer, or slowly, does not stop the others, such a webhook gets a way of its own: from where the replay is then, it goes on
// apart from the others, and at its own pace. The ways take turns, so the rate holds for all together.

const (
	// replayStuck is how old the oldest outstanding delivery of a webhook is, when the window is full, for the webhook to
	// go on by itself. A webhook that gets its share of a busy machine is faster.
	replayStuck = 30 * time.Second
	// behindWindow is how many seconds' worth of the replay's rate is outstanding at once for such a webhook.
	behindWindow = 2
	// leastCandidates and mostCandidates bound the candidates of a page, which are four times those that may be sent.
	leastCandidates, mostCandidates = 20, 500
)

// replayWalk is one way through the events, or the deliveries, of a replay over several webhooks.
type replayWalk struct {
	// webhook is the one that it is for; zero is all without a way of their own.
	webhook hook.WebhookID
	at      replayPosition
	// late says that it looks once more at what was stored late.
	late, ended bool
}

func (w *replayWalk) is(o *replayWalk) bool {
	same := w.webhook == o.webhook && w.at.id == o.at.id && w.late == o.late && w.ended == o.ended && (w.at.webhook == nil) == (o.at.webhook == nil)
	return same && (w.at.webhook == nil || *w.at.webhook == *o.at.webhook)
}

// replayLoad is what is outstanding of a replay for a webhook.
type replayLoad struct {
	deliveries int
	oldest     time.Time
}

// replayPlan says how a replay over several webhooks goes on.
type replayPlan struct {
	// walks are all of them, the longest waiting first.
	walks []replayWalk
	// detach are webhooks that get a way of their own; nothing else happens then.
	detach []hook.WebhookID
	// next is the one that goes on; nil if all have ended, or wait for outstanding deliveries.
	next *replayWalk
	// ended says that all have ended.
	ended bool
}

// main returns the way of all webhooks without one of their own.
func (p *replayPlan) main() *replayWalk {
	return &p.walks[slices.IndexFunc(p.walks, func(w replayWalk) bool { return w.webhook == hook.WebhookID{} })]
}

// behind returns the webhooks that have a way of their own.
func (p *replayPlan) behind() (list []hook.WebhookID) {
	for _, w := range p.walks {
		if w.webhook != (hook.WebhookID{}) {
			list = append(list, w.webhook)
		}
	}
	return list
}

// planReplay decides how a replay over several webhooks goes on.
func planReplay(ctx context.Context, q querier, r *hook.Replay) (replayPlan, error) {
	var plan replayPlan
	var err error
	if plan.walks, err = replayWalks(ctx, q, r.ID); err != nil {
		return plan, err
	}
	load, err := replayLoads(ctx, q, r.ID)
	if err != nil {
		return plan, err
	}
	flowing, behind := 0, plan.behind()
	var stuck []hook.WebhookID
	for webhook, l := range load {
		if slices.Contains(behind, webhook) {
			continue
		}
		flowing += l.deliveries
		if time.Since(l.oldest) > replayStuck {
			stuck = append(stuck, webhook)
		}
	}
	full := flowing >= r.Rate*replayWindow
	if full && len(stuck) > 0 && !plan.main().ended {
		plan.detach = sortedIDs(stuck)
		return plan, nil
	}
	plan.ended = true
	for i := range plan.walks {
		w := &plan.walks[i]
		if w.ended {
			continue
		}
		plan.ended = false
		room := !full
		if w.webhook != (hook.WebhookID{}) {
			room = load[w.webhook].deliveries < r.Rate*behindWindow
		}
		if room && plan.next == nil {
			plan.next = w
		}
	}
	return plan, nil
}

// replayWalks reads a replay's ways, the longest waiting first.
func replayWalks(ctx context.Context, q querier, id hook.ReplayID) ([]replayWalk, error) {
	rows, _ := q.Query(ctx, `
		select webhook_id, cursor, cursor_webhook, late, ended from replay_walks where replay_id = $1 order by stepped_at, webhook_id`, [16]byte(id))
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w replayWalk, err error) {
		var webhook *[16]byte
		err = row.Scan((*[16]byte)(&w.webhook), &w.at.id, &webhook, &w.late, &w.ended)
		w.at.webhook = (*hook.WebhookID)(webhook)
		return w, err
	})
}

func replayLoads(ctx context.Context, q querier, id hook.ReplayID) (map[hook.WebhookID]replayLoad, error) {
	rows, _ := q.Query(ctx, `
		select webhook_id, count(*), min(created_at) from deliveries
		where replay_id = $1 and state in ('pending', 'failed') and next_attempt_at is not null group by webhook_id`, [16]byte(id))
	loads := map[hook.WebhookID]replayLoad{}
	var webhook hook.WebhookID
	var l replayLoad
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&webhook), &l.deliveries, &l.oldest}, func() error {
		loads[webhook] = l
		return nil
	})
	return loads, err
}

// detachWebhooks gives webhooks a way of their own, from where the main one is.
func detachWebhooks(ctx context.Context, tx pgx.Tx, r *hook.Replay, webhooks []hook.WebhookID) error {
	_, err := tx.Exec(ctx, `
		insert into replay_walks (replay_id, webhook_id, cursor, cursor_webhook, late)
		select k.replay_id, id, k.cursor, k.cursor_webhook, k.late from replay_walks k, unnest($2::uuid[]) as id
		where k.replay_id = $1 and k.webhook_id = $3`, [16]byte(r.ID), raw(webhooks), [16]byte{})
	return err
}

func saveWalk(ctx context.Context, tx pgx.Tx, r *hook.Replay, w *replayWalk) error {
	_, err := tx.Exec(ctx, `
		update replay_walks set cursor = $3, cursor_webhook = $4, late = $5, ended = $6, stepped_at = clock_timestamp()
		where replay_id = $1 and webhook_id = $2`, [16]byte(r.ID), [16]byte(w.webhook), w.at.id, (*[16]byte)(w.at.webhook), w.late, w.ended)
	return err
}

// cursor returns the position of the way that is furthest behind, for people.
func (p *replayPlan) cursor(r *hook.Replay) hook.EventID {
	least := hook.IDTime(r.Until)
	for _, w := range p.walks {
		if !w.ended && !w.late && bytes.Compare(w.at.id[:], least[:]) < 0 {
			least = w.at.id
		}
	}
	return least
}
