package storage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Publish accepts an event: it stores the event, a delivery for every webhook that matches now, the outbox row and
// the idempotency key in one transaction, which it may share with other calls. When it returns without error the
// event is durable (S8). The same key with the same content returns the first event again, as a duplicate; with other
// content it is a conflict.
func (s *Store) Publish(ctx context.Context, p hook.Publication) (hook.Accepted, error) {
	accepted, errs := s.PublishAll(ctx, []hook.Publication{p})
	return accepted[0], errs[0]
}

// PublishAll is Publish for several events, which may share a transaction. The outcomes are in the order of the
// events. An event that is refused does not affect the others (S9). When ctx ends, the stored events are accepted and
// the others unavailable; of these, only those in a running statement may be stored all the same.
func (s *Store) PublishAll(ctx context.Context, list []hook.Publication) ([]hook.Accepted, []error) {
	begin := time.Now()
	items := make([]*publishing, 0, len(list))
	for i := range list {
		items = append(items, newPublishing(&list[i]))
		items[i].most = s.limits.Deliveries
	}
	errs := s.refuseOversized(ctx, items)
	if errs == nil {
		errs = s.publishing.addAll(ctx, items)
	}
	accepted := make([]hook.Accepted, len(list))
	for i, item := range items {
		if errs[i] == nil && item.original != nil {
			item.repeats(item.original) // here, so that the shared statement does not take longer
		}
		if errs[i] == nil {
			errs[i] = item.refused
		}
		if hook.KindOf(errs[i]) == hook.KindPrecondition {
			s.cache.forget(item.Publication)
		}
	}
	s.explainRefusals(ctx, items, errs)
	for i, item := range items {
		if errs[i] == nil {
			accepted[i] = item.accepted
		} else {
			errs[i] = mapErr(fmt.Errorf("insert event %s: %w", item.id, errs[i]))
			s.noteRefused(item, errs[i])
		}
	}
	s.countPublished(accepted, errs, time.Since(begin))
	return accepted, errs
}

// publishing is an event that is being stored.
type publishing struct {
	*hook.Publication
	id       hook.EventID
	accepted hook.Accepted
	// refused is the reason why this event alone can't be stored.
	refused error
	// own says that it is an operational event. It is stored whatever the tenant's status.
	own bool
	// cause is the event that an operational event reports on; the zero value is none.
	cause hook.EventID
	// original is the event that holds the idempotency key, if that is another one; else nil.
	original *holder
	// most is the greatest number of deliveries it may have; 0 is no limit.
	most int
}

func newPublishing(p *hook.Publication) *publishing {
	return &publishing{Publication: p, id: newID[hook.EventID]()}
}

// fresh resets the outcome of an earlier try.
func (p *publishing) fresh() {
	p.refused, p.original = nil, nil
	p.accepted = hook.Accepted{Event: hook.Event{
		ID: p.id, TenantID: p.TenantID, Type: p.Type, Data: p.Data, OrganizationID: p.OrganizationID,
		Cache: p.Cache, TokenID: p.TokenID, CreatedAt: p.id.Time(), Trace: p.Trace, Hops: p.Hops,
		References: p.References,
	}}
}

func (p *publishing) bytes() int { return len(p.Data) }

// publishAll stores events in one transaction. Events with idempotency keys are stored only if their keys are free.
func (s *Store) publishAll(ctx context.Context, list []*publishing) error {
	keyed := false
	for _, p := range list {
		p.fresh()
		keyed = keyed || p.IdempotencyKey != ""
	}
	if !keyed {
		err := s.single(ctx, func(q querier) error { return s.insertEvents(ctx, q, list) })
		if err == nil {
			s.cache.putFanOuts(list)
		}
		return err
	}
	var fresh []*publishing
	err := s.transact(ctx, func(tx pgx.Tx) error {
		list, err := checkPreconditions(ctx, tx, list)
		if err != nil {
			return err
		}
		var claimed *claimedKeys
		if fresh, claimed, err = claimKeys(ctx, tx, list); err != nil {
			return err
		}
		if len(fresh) > 0 {
			if err := s.insertEvents(ctx, tx, fresh); err != nil {
				return err
			}
		}
		return claimed.settle(ctx, tx)
	})
	if err == nil {
		s.cache.putFanOuts(fresh)
	}
	return err
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// insertEvents stores events with their deliveries, and fills in the number of deliveries, the first targets, and the
// workflow that will deliver them. It is one statement, so one transaction by itself. docs/architecture.md explains
// it ("How an event is stored").
//
// A delivery for a webhook that is held or unavailable is deferred from the start: a workflow could only defer it.
// An event that has no other deliveries gets no workflow.
//
// The outbox names this process as the owner of the events whose first attempts it makes. The owner is read here and not
// when the event is queued: a statement may be repeated much later.
//
// A message gets its topic's next number. The topic's row stays locked until the commit, so numbers appear in their
// order, and the number of a transaction that is rolled back goes to the next message (M6). Topics are locked in the
// order of their ids, and after them new drains in the order of theirs, so that no two transactions wait for each
// other. The statement guarantees both orders, whatever the plan: an insert takes its rows in the order that its
// query asks for, "for key share" locks sorted rows, and matched, from which everything else is made, begins by
// reading all of topic.
func (s *Store) insertEvents(ctx context.Context, q querier, list []*publishing) error {
	args, owner, begin := eventArgs(list), s.owner(), time.Now()
	args["owner"], args["immediate"] = ownerArg(owner), hook.MaxImmediate
	rows, _ := q.Query(ctx, insertEventsSQL, argsOfConstant(args))
	var n, deliveries, due int
	var sequence int64
	var drainedBy, webhook *[16]byte
	var url *string
	var undrained, owned bool
	var fresh freshRow
	stored := make([]bool, len(list))
	_, err := pgx.ForEachRow(rows, append([]any{&n, &deliveries, &due, &sequence, &drainedBy, &webhook, &url, &undrained, &owned}, fresh.targets()...), func() error {
		stored[n-1] = true
		accepted := &list[n-1].accepted
		e := &accepted.Event
		e.Deliveries, e.Sequence, accepted.Due = deliveries, sequence, due
		if accepted.ReadAt = begin; owned {
			accepted.Owner = owner
		}
		e.WorkflowID = workflowID(deliveries, nil, drainedBy, e.ID)
		switch {
		case webhook == nil:
		case undrained:
			accepted.Undrained = append(accepted.Undrained, *webhook)
		default:
			accepted.Targets = append(accepted.Targets, hook.Target{WebhookID: *webhook, Host: hook.HostOf(*url)})
			accepted.Fresh = append(accepted.Fresh, fresh.of(*webhook))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, p := range list {
		if !stored[i] {
			p.outdated()
		}
	}
	return nil
}

// freshRow is the part of a row that says which delivery was made, and for which version of its webhook; it is null
// for an event without deliveries.
type freshRow struct {
	id         *[16]byte
	version    *int64
	generation *int
	health     *string
}

func (r *freshRow) targets() []any { return []any{&r.id, &r.version, &r.generation, &r.health} }

func (r *freshRow) of(webhook hook.WebhookID) hook.FreshDelivery {
	return hook.FreshDelivery{ID: *r.id, WebhookID: webhook, Version: *r.version, Generation: *r.generation, Health: hook.Health(*r.health)}
}

// The offsets keep the planner from looking up subscriptions and webhooks by any other way than the primary key. By
// its estimates, reading all of them may look cheaper; then the cost of an event would grow with all webhooks, not
// with those that match.
const insertEventsSQL = `
	with e as (
		select *, row_number() over (partition by topic_id order by n) as rank, count(*) over (partition by topic_id) as added
		from unnest(@ids::uuid[], @tenants::uuid[], @types::text[], @data::bytea[], @organizations::text[], @created::timestamptz[],
			@caches::text[], @topics::uuid[], @tokens::text[], @traces::bytea[], @hops::bytea[], @keys::bytea[], @listed::bool[], @schemas::bytea[], @refs::text[], @own::bool[])
			with ordinality as e(id, tenant_id, type, data, organization_id, created_at, cache, topic_id, token_id, trace, hops, key, listed, schema, refs, own, n)
		where (e.own or ` + tenantIsActive + `) and ` + preconditionsHold + `
	), topic as (
		insert into topics (id, tenant_id, cache, name, last_sequence)
		select distinct on (topic_id) topic_id, tenant_id, cache, type, added from e where topic_id is not null order by topic_id
		on conflict (id) do update set last_sequence = topics.last_sequence + excluded.last_sequence
		returning id, last_sequence
	), subscribed as (
		select distinct e.n, w.id, w.url, w.generation, w.version, w.health, w.parked
		from e join unnest(@candidates::int[], @patterns::text[]) as c(n, pattern) on c.n = e.n
		cross join lateral (
			select s.webhook_id from subscriptions s
			where s.tenant_id = e.tenant_id and s.cache = e.cache and s.pattern = c.pattern offset 0
		) s
		cross join lateral (
			select w.id, w.url, w.profile, w.generation, w.version, w.health, w.tripped_at is not null or w.paused_at is not null or w.suspended_at is not null as parked
			from webhooks w where w.id = s.webhook_id and w.active offset 0
		) w
		where (w.profile = 'standard' or c.pattern = e.type) -- the others' topics are never patterns
			and (select count(*) from topic) >= 0 -- topics are locked before drains
	), matched as (
		select s.*, encode(substring(uuid_send(e.id) for 8) || substring(uuid_send(gen_random_uuid()) from 9), 'hex')::uuid as delivery_id
		from subscribed s join e on e.n = s.n
	), delivery as (
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked, generation)
		select m.delivery_id, e.id, m.id, e.tenant_id, e.type, 'pending', now(), e.created_at, now(), m.parked, m.generation
		from matched m join e on e.n = m.n
	), draining as ( -- as Defer does: see DrainEnds
		select webhook_id, idle from drains where webhook_id in (select id from matched where parked) order by webhook_id for key share
	), ` + wakeIdle + `, drain as ( -- a row that is new has no drain yet
		insert into drains (webhook_id) select distinct id from matched where parked and id not in (select webhook_id from draining) order by id
		` + alreadyDraining + `
		returning webhook_id, xmax = 0 as undrained
	), counted as (
		select e.n, case when count(m.id) > @most::int then refuse_deliveries(@most::int) else count(m.id)::int end as deliveries,
			count(m.id) filter (where not m.parked)::int as due,
			@owner::uuid is not null and count(m.id) filter (where not m.parked) between 1 and @immediate::int as owned,
			case when bool_and(m.parked) then (array_agg(m.id order by m.id))[1] end as drained_by,
			coalesce(max(t.last_sequence) - max(e.added) + max(e.rank), 0) as sequence
		from e left join matched m on m.n = e.n left join topic t on t.id = e.topic_id group by e.n
	), event as (
		insert into events (id, tenant_id, type, data, organization_id, deliveries, created_at, cache, topic_id, sequence,
			token_id, drained_by, trace, hops, refs)
		select e.id, e.tenant_id, e.type, e.data, e.organization_id, c.deliveries, e.created_at, e.cache, e.topic_id, nullif(c.sequence, 0), e.token_id,
			c.drained_by, e.trace, e.hops, string_to_array(e.refs, E'\n')
		from e join counted c on c.n = e.n
	), referenced as ( -- after events, as in partitioned_tables
		insert into event_references (tenant_id, reference, event_id)
		select e.tenant_id, unnest(string_to_array(e.refs, E'\n')), e.id from e where e.refs is not null
	), queued as (
		insert into outbox (event_id, claimed_until, owner)
		select e.id, '-infinity', case when c.owned then @owner::uuid end from e join counted c on c.n = e.n where c.due > 0
	), used as (` + usedByEvents + `
	), shown as (
		select m.n, m.id, m.url, m.delivery_id, m.version, m.generation, m.health, coalesce(d.undrained, false) as undrained, row_number() over (partition by m.n, m.parked order by m.id) as rank
		from matched m left join drain d on d.webhook_id = m.id and m.parked
		where not m.parked or d.undrained
	)
	select c.n, c.deliveries, c.due, c.sequence, c.drained_by, s.id, s.url, coalesce(s.undrained, false), c.owned,
		s.delivery_id, s.version, s.generation, s.health
	from counted c left join shown s on s.n = c.n and (s.undrained or s.rank <= @targets)
	order by c.n, s.id`

// eventArgs turns events into one array per column, and their candidate patterns into pairs of pattern and event
// number.
func eventArgs(list []*publishing) pgx.StrictNamedArgs {
	var (
		ids, tenants                                  [][16]byte
		types, organizations, caches, tokens, pattern []string
		data, traces, hops                            [][]byte
		created                                       []time.Time
		topics                                        []*[16]byte
		candidates                                    []int
		references                                    []*string
		own                                           []bool
	)
	for i, p := range list {
		e := &p.accepted.Event
		ids, tenants = append(ids, e.ID), append(tenants, e.TenantID)
		types, organizations, data = append(types, e.Type), append(organizations, e.OrganizationID), append(data, e.Data)
		created, caches, tokens = append(created, e.CreatedAt), append(caches, e.Cache), append(tokens, e.TokenID)
		topics, traces = append(topics, topicID(e)), append(traces, e.Trace.Bytes())
		hops, references = append(hops, hook.HopBytes(e.Hops)), append(references, joinReferences(e.References))
		own = append(own, p.own)
		for _, c := range hook.Candidates(e.Type) {
			candidates, pattern = append(candidates, i+1), append(pattern, c)
		}
	}
	keys, listed, schemas := preconditionArgs(list)
	return pgx.StrictNamedArgs{
		"keys": keys, "listed": listed, "schemas": schemas, "ids": ids, "tenants": tenants, "types": types, "data": data,
		"organizations": organizations, "created": created, "caches": caches, "topics": topics, "tokens": tokens,
		"traces": traces, "hops": hops, "candidates": candidates, "patterns": pattern, "targets": hook.MaxTargets,
		"most": maxDeliveries(list), "refs": references, "own": own,
	}
}

// joinReferences returns an event's references, one on each line, since they have no control characters; nil if there
// are none.
func joinReferences(list []string) *string {
	if len(list) == 0 {
		return nil
	}
	text := strings.Join(list, "\n")
	return &text
}

// ownerArg returns the owner as an argument; nil if there is none.
func ownerArg(id hook.ProcessID) *[16]byte {
	if id.IsZero() {
		return nil
	}
	return (*[16]byte)(&id)
}

// topicID returns the topic that numbers the event; nil if the event has none.
func topicID(e *hook.Event) *[16]byte {
	if e.Cache == "" {
		return nil
	}
	topic := hook.Topic{TenantID: e.TenantID, Cache: e.Cache, Name: e.Type}
	id := [16]byte(topic.ID())
	return &id
}

// CreateTest stores a sample event and its one delivery, to be sent at once and never again (S11). It writes no
// outbox row: a test that is not sent now is not sent later. It gets no topic number, and no subscriber sees it.
func (s *Store) CreateTest(ctx context.Context, w hook.Webhook, p hook.Publication) (hook.Delivery, error) {
	event := newID[hook.EventID]()
	now := time.Now()
	d := hook.Delivery{
		ID: newDeliveryID(event), EventID: event, WebhookID: w.ID, TenantID: w.TenantID,
		EventType: p.Type, Test: true, State: hook.StatePending, NextAttemptAt: &now, CreatedAt: event.Time(), Generation: &w.Generation,
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockActive(ctx, tx, w.TenantID); err != nil {
			return err
		}
		// Tables are locked in the order of partitioned_tables: see migration 00006.
		_, err := tx.Exec(ctx, `
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, test, state, next_attempt_at, created_at, updated_at, generation)
			values ($1, $2, $3, $4, $5, true, 'pending', now(), $6, now(), $7)`,
			[16]byte(d.ID), [16]byte(event), [16]byte(w.ID), [16]byte(w.TenantID), p.Type, d.CreatedAt, w.Generation)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			insert into events (id, tenant_id, type, data, organization_id, cache, token_id, test, deliveries, created_at)
			values ($1, $2, $3, $4, $5, $6, $7, true, 1, $8)`,
			[16]byte(event), [16]byte(w.TenantID), p.Type, p.Data, p.OrganizationID, p.Cache, p.TokenID, d.CreatedAt)
		if err != nil {
			return err
		}
		return auditTest(ctx, tx, &w, &d)
	})
	if err != nil {
		return hook.Delivery{}, mapErr(fmt.Errorf("insert test of webhook %s: %w", w.ID, err))
	}
	return d, nil
}

// DropTest removes a test that could not be sent, so that nothing of it is left behind. A test that was sent, or that
// a worker is sending, stays.
func (s *Store) DropTest(ctx context.Context, d hook.Delivery) error {
	_, err := s.pool.Exec(ctx, `
		with gone as (
			delete from deliveries where id = $1 and test and attempts = 0 and claim is null returning id, event_id
		), event as ( -- and not the statement itself, which would lock its table first
			delete from events where id in (select event_id from gone) and test
		), logged as ( -- auditTest gives the entry the delivery's id
			delete from audit_log where id in (select id from gone)
		)
		select from gone`, [16]byte(d.ID))
	if err != nil {
		return mapErr(fmt.Errorf("drop test %s: %w", d.ID, err))
	}
	return nil
}
