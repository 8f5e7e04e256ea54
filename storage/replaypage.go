package storage

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// replayPosition is how far a replay has looked: up to an event or a delivery; or up to a webhook of an event, in the
// order of ids.
type replayPosition struct {
	id      [16]byte
	webhook *hook.WebhookID
}

func positionAt(t time.Time) replayPosition { return replayPosition{id: hook.IDTime(t)} }

// replayed is an event for a webhook, which a replay may send.
type replayed struct {
	event     hook.EventID
	eventType string
	webhook   hook.WebhookID
	// generation is the webhook's.
	generation int
	// at is the position right after it, and looked how many events, or deliveries, were looked at until then.
	at     replayPosition
	looked int
}

// replayedPage is one page of events, or of deliveries.
type replayedPage struct {
	// candidates may be sent; chosen are those that are, in the order of events.
	candidates, chosen []replayed
	// last is the position after all that was looked at, and looked is how many these were.
	last      replayPosition
	looked    int
	exhausted bool
	// open reports whether an event of the last seconds has an attempt to come, and may be chosen after that attempt.
	open bool
}

// cut leaves all but the first limit chosen ones to the next page.
func (p *replayedPage) cut(limit int) {
	if len(p.chosen) <= limit {
		return
	}
	p.chosen = p.chosen[:limit]
	end := &p.chosen[limit-1]
	p.last, p.looked, p.exhausted = end.at, end.looked, false
}

// eventsPage looks at the next events of a replay before a time, for the webhooks of scope, which are in the order of
// ids. It finds at most so many candidates.
func eventsPage(
	ctx context.Context, q querier, r *hook.Replay, scope []hook.Webhook, at replayPosition, until time.Time, most int,
) (replayedPage, error) {
	page := replayedPage{last: at}
	if len(scope) == 0 {
		page.exhausted = true
		return page, nil
	}
	events, err := replayEvents(ctx, q, r, scope, at, until)
	if err != nil {
		return page, err
	}
	for _, e := range events {
		begun := at.webhook != nil && e.id == at.id
		if !begun {
			page.looked++
		}
		for i := range scope {
			w := &scope[i]
			if begun && bytes.Compare(w.ID[:], at.webhook[:]) <= 0 || e.eventType == nil || !r.Takes(w, *e.cache, *e.eventType) {
				continue
			}
			if len(page.candidates) == most {
				page.last = page.candidates[most-1].at
				return page, nil
			}
			c := replayed{event: e.id, eventType: *e.eventType, webhook: w.ID, generation: w.Generation, at: replayPosition{id: e.id}, looked: page.looked}
			if r.Many {
				c.at.webhook = &w.ID
			}
			page.candidates = append(page.candidates, c)
		}
		page.last = replayPosition{id: e.id}
	}
	page.exhausted = len(events) < replayPage
	return page, nil
}

// replayEvent is an event that a replay looks at. Type and cache are nil if it is a test or in none of the caches.
type replayEvent struct {
	id               hook.EventID
	cache, eventType *string
}

func replayEvents(ctx context.Context, q querier, r *hook.Replay, scope []hook.Webhook, at replayPosition, until time.Time) (list []replayEvent, err error) {
	// The bound excludes the position. It begins as the bound of a time, which is no event's id, and is an event's id
	// later. An event of which some webhooks are left is looked at once more.
	after := `>`
	if at.webhook != nil {
		after = `>=`
	}
	const chosen = `not e.test and e.cache = any(@caches)`
	sql := `
		select e.id, e.cache, e.type from events e
		where e.tenant_id = @tenant and e.id ` + after + ` @after and e.id < @until and ` + chosen + ` order by e.id limit @page`
	var caches []string
	for i := range scope {
		if !slices.Contains(caches, scope[i].Cache) {
			caches = append(caches, scope[i].Cache)
		}
	}
	args := pgx.StrictNamedArgs{"tenant": [16]byte(r.TenantID), "after": at.id, "until": hook.IDTime(until), "caches": caches, "page": replayPage}
	if r.Reference != "" {
		args["reference"] = r.Reference
		sql = `
		select r.event_id, e.cache, e.type from (
			select event_id from event_references
			where tenant_id = @tenant and reference = @reference and event_id ` + after + ` @after and event_id < @until order by event_id limit @page
		) r left join lateral (select * from events e where e.id = r.event_id and ` + chosen + ` offset 0) e on true order by r.event_id`
	}
	rows, _ := q.Query(ctx, sql, args)
	var e replayEvent
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&e.id), &e.cache, &e.eventType}, func() error {
		list = append(list, e)
		e.cache, e.eventType = nil, nil // they are pointers
		return nil
	})
	return list, err
}

// deliveriesPage turns deliveries that a search has found into a page. next is where the search goes on, nil at its end.
func deliveriesPage(found []hook.Delivery, at replayPosition, next *[16]byte) replayedPage {
	page := replayedPage{last: at, exhausted: next == nil}
	type pair struct {
		event   hook.EventID
		webhook hook.WebhookID
	}
	seen := map[pair]bool{}
	for i := range found {
		d := &found[i]
		page.looked++
		page.last = replayPosition{id: d.ID}
		if key := (pair{d.EventID, d.WebhookID}); !d.Test && !seen[key] {
			seen[key] = true
			page.candidates = append(page.candidates, replayed{event: d.EventID, eventType: d.EventType, webhook: d.WebhookID, at: page.last, looked: page.looked})
		}
	}
	if next != nil {
		page.last = replayPosition{id: *next}
	}
	return page
}

// only leaves out candidates of other webhooks than those that the replay may send to, and notes their generations.
func (p *replayedPage) only(r *hook.Replay, webhooks []hook.Webhook) {
	of := make(map[hook.WebhookID]*hook.Webhook, len(webhooks))
	for i := range webhooks {
		if r.LeavesOut(&webhooks[i]) == "" {
			of[webhooks[i].ID] = &webhooks[i]
		}
	}
	p.candidates = slices.DeleteFunc(p.candidates, func(c replayed) bool { return of[c.webhook] == nil })
	for i := range p.candidates {
		p.candidates[i].generation = of[p.candidates[i].webhook].Generation
	}
}

// kept leaves out candidates whose event retention has deleted.
func (p *replayedPage) kept(ctx context.Context, q querier) error {
	if len(p.candidates) == 0 {
		return nil
	}
	ids := make([]hook.EventID, 0, len(p.candidates))
	for i := range p.candidates {
		ids = append(ids, p.candidates[i].event)
	}
	ids = sortedIDs(ids)
	rows, _ := q.Query(ctx, `select id from events where id between $2 and $3 and id = any($1)`, raw(ids), [16]byte(ids[0]), [16]byte(ids[len(ids)-1]))
	exist := map[hook.EventID]bool{}
	var id hook.EventID
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id)}, func() error {
		exist[id] = true
		return nil
	})
	p.candidates = slices.DeleteFunc(p.candidates, func(c replayed) bool { return !exist[c.event] })
	return err
}

// choose looks at the earlier deliveries of the candidates, and chooses those that the replay sends.
func (p *replayedPage) choose(ctx context.Context, q querier, r *hook.Replay) error {
	if len(p.candidates) == 0 {
		return nil
	}
	pasts, err := pastDeliveries(ctx, q, r, p.candidates)
	if err != nil {
		return err
	}
	for i, c := range p.candidates {
		past := pasts[i]
		if r.Status.Chooses(past) {
			p.chosen = append(p.chosen, c)
			continue
		}
		if past.Outstanding {
			past.Outstanding = false
			p.open = p.open || r.Status.Chooses(past) && time.Since(c.event.Time()) < replayCommitTime
		}
	}
	return nil
}

// pastDeliveries summarizes the earlier deliveries of each candidate's event to its webhook.
func pastDeliveries(ctx context.Context, q querier, r *hook.Replay, list []replayed) ([]hook.Past, error) {
	n := len(list)
	events, webhooks, generations, los, his := make([][16]byte, n), make([][16]byte, n), make([]int, n), make([][16]byte, n), make([][16]byte, n)
	for i, c := range list {
		events[i], webhooks[i], generations[i] = c.event, c.webhook, c.generation
		los[i], his[i] = deliveryRange(c.event)
	}
	rows, _ := q.Query(ctx, `
		select k.n, count(*), bool_or(d.state = 'success'), bool_or(d.next_attempt_at is not null and coalesce(d.generation >= k.generation, true)),
			coalesce(bool_or(d.replay_id = @replay), false)
		from unnest(@events::uuid[], @webhooks::uuid[], @generations::int[], @los::uuid[], @his::uuid[]) with ordinality as k(event_id, webhook_id, generation, lo, hi, n)
		cross join lateral (select * from deliveries d where d.webhook_id = k.webhook_id and d.id between k.lo and k.hi offset 0) d
		where d.event_id = k.event_id and not d.test
		group by k.n`, pgx.StrictNamedArgs{
		"replay": [16]byte(r.ID), "events": events, "webhooks": webhooks, "generations": generations, "los": los, "his": his,
	})
	pasts := make([]hook.Past, n)
	var at int
	var past hook.Past
	_, err := pgx.ForEachRow(rows, []any{&at, &past.Deliveries, &past.Succeeded, &past.Outstanding, &past.Replayed}, func() error {
		pasts[at-1] = past
		return nil
	})
	return pasts, err
}
