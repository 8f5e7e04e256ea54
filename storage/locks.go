package storage

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// sessionLockTimeout is how long a statement waits for a lock; the session's settings have it.
const sessionLockTimeout = 2 * time.Second

// rowLock is a row that statements lock until their commit, and that another session may keep locked: a process that
// stands still in a transaction, or a person with psql.
type rowLock struct {
	kind lockKind
	id   [16]byte
	text string
}

type lockKind byte

const (
	lockTopic    lockKind = 't' // the topic's number
	lockKey      lockKind = 'k' // a tenant's idempotency key, by its text
	lockWebhook  lockKind = 'w' // a webhook's health
	lockDelivery lockKind = 'd'
)

// nameOf returns a key for a set of locks.
func nameOf(locks []rowLock) string {
	var b strings.Builder
	for _, k := range locks {
		fmt.Fprintf(&b, "%c%s%q", k.kind, hex.EncodeToString(k.id[:]), k.text)
	}
	return b.String()
}

// Lanes. Only items of the same lane share statements.
const (
	// laneFree is for items that lock no row that others need.
	laneFree = iota
	// laneRows is for items that lock rows that others need.
	laneRows
	// laneKeys is for items with idempotency keys, whose locks are kept over several statements.
	laneKeys
	lanes
)

func (p *publishing) lane() int {
	switch {
	case p.IdempotencyKey != "":
		return laneKeys
	case p.Cache != "":
		return laneRows
	default:
		return laneFree
	}
}

func (p *publishing) locks() []rowLock {
	var locks []rowLock
	if p.IdempotencyKey != "" {
		locks = append(locks, rowLock{lockKey, p.TenantID, p.IdempotencyKey})
	}
	if p.Cache != "" {
		topic := hook.Topic{TenantID: p.TenantID, Cache: p.Cache, Name: p.Type}
		locks = append(locks, rowLock{kind: lockTopic, id: topic.ID()})
	}
	return locks
}

func (r *recording) lane() int {
	if len(healthOf(r.records).ids) > 0 {
		return laneRows
	}
	return laneFree
}

// locks returns the webhooks first: others wait for these as well.
func (r *recording) locks() []rowLock {
	var locks []rowLock
	for _, id := range healthOf(r.records).ids {
		if k := (rowLock{kind: lockWebhook, id: id}); !slices.Contains(locks, k) {
			locks = append(locks, k)
		}
	}
	for i := range r.records {
		locks = append(locks, rowLock{kind: lockDelivery, id: r.records[i].Delivery.ID})
	}
	return locks
}

// lockedElsewhere returns those of the locks on webhooks and deliveries that other sessions hold now.
func (s *Store) lockedElsewhere(ctx context.Context, locks []rowLock) ([]rowLock, error) {
	var webhooks, deliveries [][16]byte
	for _, k := range locks {
		if k.kind == lockWebhook {
			webhooks = append(webhooks, k.id)
		} else {
			deliveries = append(deliveries, k.id)
		}
	}
	// The lock modes are those of recording.
	rows, _ := s.pool.Query(ctx, `
		with w as (select id from webhooks where id = any($1) for update skip locked),
			d as (select id from deliveries where id = any($2) for no key update skip locked)
		(select 'w'::text, id from webhooks where id = any($1) except select 'w', id from w)
		union all
		(select 'd'::text, id from deliveries where id = any($2) except select 'd', id from d)`, webhooks, deliveries)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k rowLock, err error) {
		var kind string
		err = row.Scan(&kind, &k.id)
		if kind != "" {
			k.kind = lockKind(kind[0])
		}
		return k, err
	})
}

// lockWaitKey is the context key of a lock wait.
type lockWaitKey struct{}

// withLockWait limits how long statements under ctx wait for a lock. 0 leaves it to the session.
func withLockWait(ctx context.Context, wait time.Duration) context.Context {
	if wait == 0 {
		return ctx
	}
	return context.WithValue(ctx, lockWaitKey{}, wait)
}

// transact runs f in a transaction with the context's lock wait.
func (s *Store) transact(ctx context.Context, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if wait, ok := ctx.Value(lockWaitKey{}).(time.Duration); ok {
			if _, err := tx.Exec(ctx, fmt.Sprintf(`set local lock_timeout = %d`, wait.Milliseconds())); err != nil {
				return err
			}
		}
		return f(tx)
	})
}

// single runs f, which is one statement, with the context's lock wait. Without a lock wait it needs no transaction.
func (s *Store) single(ctx context.Context, f func(q querier) error) error {
	if ctx.Value(lockWaitKey{}) == nil {
		return f(s.pool)
	}
	return s.transact(ctx, func(tx pgx.Tx) error { return f(tx) })
}
