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

// Publish accepts an event: the event, a delivery for every webhook that matches
// now, the outbox row and the idempotency key, in one transaction. When it
// returns without error the event is durable (S8). The same key with the same
// content gives the first event again, as a duplicate; with other content it is
// a conflict.
//
// Group commit has its place here: every statement below takes arrays, so that
// waiting publications can share a transaction.
func (s *Store) Publish(ctx context.Context, p hook.Publication) (hook.Accepted, error) {
	event := hook.Event{
		ID: newID[hook.EventID](), TenantID: p.TenantID, Type: p.Type, Data: p.Data, OrganizationID: p.OrganizationID,
		Cache: p.Cache, TokenID: p.TokenID,
	}
	event.CreatedAt = event.ID.Time()
	accepted := hook.Accepted{Event: event}
	if id := topicID(&event); id != nil {
		// Publishers to one topic go one after the other, by its row. They wait here,
		// and not with a connection each, which others need.
		turn := s.turns[id[0]]
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return hook.Accepted{}, mapErr(fmt.Errorf("wait for topic: %w", ctx.Err()))
		}
	}
	if p.IdempotencyKey == "" {
		if err := insertEvent(ctx, s.pool, &accepted); err != nil {
			return hook.Accepted{}, mapErr(fmt.Errorf("insert event %s: %w", event.ID, err))
		}
		return accepted, nil
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		first, err := claimKey(ctx, tx, p, event)
		if err != nil {
			return err
		}
		if first != nil {
			accepted = hook.Accepted{Event: *first, Duplicate: true}
			return nil
		}
		return insertEvent(ctx, tx, &accepted)
	})
	if err != nil {
		return hook.Accepted{}, mapErr(fmt.Errorf("insert event %s: %w", event.ID, err))
	}
	return accepted, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// insertEvent stores the accepted event with its deliveries, and fills in how
// many there are, the first of their targets, and the workflow that will deliver
// them. One statement, so one transaction by itself.
//
// A message gets its topic's next number. The topic's row stays locked until the
// commit: so numbers appear in their order, and one that is rolled back is given
// to the next (M6).
func insertEvent(ctx context.Context, q querier, accepted *hook.Accepted) error {
	e := &accepted.Event
	rows, _ := q.Query(ctx, `
		with topic as (
			insert into topics (id, tenant_id, cache, name, last_sequence)
			select @topic_id, @tenant_id, @cache, @type, 1 where @topic_id::uuid is not null
			on conflict (id) do update set last_sequence = topics.last_sequence + 1
			returning last_sequence
		), matched as (
			select distinct w.id, w.url
			from subscriptions s join webhooks w on w.id = s.webhook_id
			where s.tenant_id = @tenant_id and s.cache = @cache and s.pattern = any(@patterns) and w.active
				and (w.profile = 'standard' or s.pattern = @type) -- the others' topics are never patterns
		), delivery as (
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at)
			select encode(substring(uuid_send(@id::uuid) for 8) || substring(uuid_send(gen_random_uuid()) from 9), 'hex')::uuid,
				@id, m.id, @tenant_id, @type, 'pending', now(), @created_at, now()
			from matched m
		), counted as (
			select count(*)::int as n from matched
		), event as (
			insert into events (id, tenant_id, type, data, organization_id, deliveries, created_at, cache, topic_id, sequence, token_id)
			select @id, @tenant_id, @type, @data, @organization_id, n, @created_at, @cache, @topic_id, (select last_sequence from topic), @token_id
			from counted
		), waiting as (
			insert into outbox (event_id) select @id from counted where n > 0
		)
		select n, coalesce((select last_sequence from topic), 0), m.id, m.url
		from counted left join matched m on true order by m.id limit @targets`,
		pgx.StrictNamedArgs{
			"id": [16]byte(e.ID), "tenant_id": [16]byte(e.TenantID), "type": e.Type, "data": e.Data,
			"organization_id": e.OrganizationID, "created_at": e.CreatedAt,
			"cache": e.Cache, "topic_id": topicID(e), "token_id": e.TokenID,
			"patterns": hook.Candidates(e.Type), "targets": hook.MaxTargets,
		})
	var webhook *[16]byte
	var url *string
	_, err := pgx.ForEachRow(rows, []any{&e.Deliveries, &e.Sequence, &webhook, &url}, func() error {
		if webhook != nil {
			accepted.Targets = append(accepted.Targets, hook.Target{WebhookID: *webhook, Host: hook.HostOf(*url)})
		}
		return nil
	})
	e.WorkflowID = workflowID(e.Deliveries, nil, e.ID)
	return err
}

// topicID is the topic that counts the event; nil if none does.
func topicID(e *hook.Event) *[16]byte {
	if e.Cache == "" {
		return nil
	}
	topic := hook.Topic{TenantID: e.TenantID, Cache: e.Cache, Name: e.Type}
	id := [16]byte(topic.ID())
	return &id
}

// claimKey takes the idempotency key for the event, or returns the event that
// holds it. A second publisher waits here until the first has committed.
func claimKey(ctx context.Context, tx pgx.Tx, p hook.Publication, e hook.Event) (*hook.Event, error) {
	print := p.Fingerprint()
	tag, err := tx.Exec(ctx, `
		insert into idempotency_keys as k (tenant_id, key, fingerprint, event_id, expires_at)
		values (@tenant_id, @key, @fingerprint, @event_id, now() + @window)
		on conflict (tenant_id, key) do update
			set fingerprint = excluded.fingerprint, event_id = excluded.event_id, expires_at = excluded.expires_at
			where k.expires_at <= now()`, pgx.StrictNamedArgs{
		"tenant_id": [16]byte(p.TenantID), "key": p.IdempotencyKey, "fingerprint": print[:],
		"event_id": [16]byte(e.ID), "window": hook.IdempotencyWindow,
	})
	if err != nil || tag.RowsAffected() == 1 {
		return nil, err
	}
	var held []byte
	var first [16]byte
	err = tx.QueryRow(ctx, `select fingerprint, event_id from idempotency_keys where tenant_id = $1 and key = $2`,
		[16]byte(p.TenantID), p.IdempotencyKey).Scan(&held, &first)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(held, print[:]) {
		return nil, &hook.Error{Kind: hook.KindConflict, Message: "the idempotency key was used within 24 hours for an event with other content"}
	}
	rows, _ := tx.Query(ctx, `select `+eventColumns+` from events e where e.id = $1`, first)
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[eventRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("event %s of idempotency key is gone", hook.EventID(first))
	}
	event := row.event()
	return &event, err
}

// PurgeIdempotencyKeys deletes those whose window has passed.
func (s *Store) PurgeIdempotencyKeys(ctx context.Context) (int64, error) {
	tag, err := s.pool.Exec(ctx, `delete from idempotency_keys where expires_at <= now()`)
	if err != nil {
		return 0, mapErr(fmt.Errorf("purge idempotency keys: %w", err))
	}
	return tag.RowsAffected(), nil
}

// CreateTest stores a sample event and its one delivery, to be sent at once and
// never again (S11). It writes no outbox row: a test that is not sent now is not
// sent later. No topic counts it, and no subscriber sees it.
func (s *Store) CreateTest(ctx context.Context, w hook.Webhook, p hook.Publication) (hook.Delivery, error) {
	event := newID[hook.EventID]()
	now := time.Now()
	d := hook.Delivery{
		ID: newDeliveryID(event), EventID: event, WebhookID: w.ID, TenantID: w.TenantID,
		EventType: p.Type, Test: true, State: hook.StatePending, NextAttemptAt: &now, CreatedAt: event.Time(),
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into events (id, tenant_id, type, data, organization_id, cache, token_id, test, deliveries, created_at)
			values ($1, $2, $3, $4, $5, $6, $7, true, 1, $8)`,
			[16]byte(event), [16]byte(w.TenantID), p.Type, p.Data, p.OrganizationID, p.Cache, p.TokenID, d.CreatedAt)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, test, state, next_attempt_at, created_at, updated_at)
			values ($1, $2, $3, $4, $5, true, 'pending', now(), $6, now())`,
			[16]byte(d.ID), [16]byte(event), [16]byte(w.ID), [16]byte(w.TenantID), p.Type, d.CreatedAt)
		return err
	})
	if err != nil {
		return hook.Delivery{}, mapErr(fmt.Errorf("insert test of webhook %s: %w", w.ID, err))
	}
	return d, nil
}

// DropTest removes a test that could not be sent, so that nothing of it stays
// behind. One that was sent stays.
func (s *Store) DropTest(ctx context.Context, d hook.Delivery) error {
	_, err := s.pool.Exec(ctx, `
		with gone as (delete from deliveries where id = $1 and test and attempts = 0 returning event_id)
		delete from events where id in (select event_id from gone) and test`, [16]byte(d.ID))
	if err != nil {
		return mapErr(fmt.Errorf("drop test %s: %w", d.ID, err))
	}
	return nil
}
