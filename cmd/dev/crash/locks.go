package crash

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/wait"
)

// Locked is the row that LockRows has locked. Two of its members are empty.
type Locked struct {
	// Topic is a message's topic, Key an idempotency key, and Webhook a webhook's name.
	Topic, Key, Webhook string
}

func (l *Locked) String() string {
	switch {
	case l.Topic != "":
		return "topic " + l.Topic
	case l.Key != "":
		return "idempotency key " + l.Key
	}
	return "webhook " + l.Webhook
}

// concerns reports whether a publish needs the row.
func (l *Locked) concerns(w *Wait, webhooks []*Webhook) bool {
	if l.Webhook != "" {
		for _, webhook := range webhooks {
			if webhook.Name == l.Webhook && webhook.Matches(w.Type, w.Cache) {
				return true
			}
		}
		return false
	}
	return w.Cache != "" && w.Type == l.Topic || w.Key != "" && w.Key == l.Key
}

// locker describes a row to lock.
type locker struct {
	locked Locked
	query  string
	args   []any
	// meet publishes an event that needs the row; nil if the load does so anyway.
	meet func(ctx context.Context)
}

// lock locks a row in a session of its own, and holds the lock for a while during which others publish.
func (r *run) lock(ctx context.Context, struck *Struck) error {
	l, err := r.locker(ctx, struck)
	if err != nil {
		return err
	}
	struck.Locked = l.locked
	conn, err := pgx.Connect(ctx, r.Database)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // closing ends the transaction, which wrote nothing
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	var found int
	if err := tx.QueryRow(ctx, `select count(*) from (`+l.query+` for update) row`, l.args...).Scan(&found); err != nil || found != 1 {
		return fmt.Errorf("lock the row of %s: found %d: %w", &l.locked, found, err)
	}
	r.Progress("locked the row of %s", &l.locked)
	struck.Held[0] = time.Now()
	struck.Probes, err = r.probe(ctx, r.balancer, struck.Number, func(ctx context.Context) error {
		return r.meet(ctx, l, struck.For)
	})
	struck.Held[1] = time.Now()
	return err
}

// meet calls the locker's meet once per second for the given length.
func (r *run) meet(ctx context.Context, l *locker, length time.Duration) error {
	over, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var group sync.WaitGroup
	for over.Err() == nil {
		if l.meet != nil {
			group.Go(func() { l.meet(over) })
		}
		_ = wait.For(over, time.Second) // the loop checks over
	}
	group.Wait()
	return ctx.Err()
}

// locker chooses the row.
func (r *run) locker(ctx context.Context, struck *Struck) (*locker, error) {
	switch struck.Stage {
	case LockTopic:
		return &locker{
			locked: Locked{Topic: chatter}, query: `select from topics where cache = $1 and name = $2`, args: []any{cache, chatter},
		}, nil
	case LockKey:
		o := order{kind: keyed, typ: typeUser, prefix: fmt.Sprintf("locked.%d.", struck.Number)}
		list := r.publisher.publish(ctx, r.balancer, o)
		if !list[0].Accepted {
			return nil, fmt.Errorf("key %q: not accepted", list[0].Key)
		}
		return &locker{
			locked: Locked{Key: list[0].Key}, query: `select from idempotency_keys where key = $1`, args: []any{list[0].Key},
			meet: func(ctx context.Context) { r.publisher.try(ctx, r.balancer, &o, list) },
		}, nil
	}
	// Grapnel writes to the rows of these webhooks, because their deliveries fail now and then.
	names := []string{"everything", "payments"}
	for _, w := range r.webhooks {
		if w.Name == names[struck.Choose(len(names))] {
			return &locker{locked: Locked{Webhook: w.Name}, query: `select from webhooks where id = $1`, args: []any{w.ID}}, nil
		}
	}
	return nil, fmt.Errorf("no webhook to lock")
}
