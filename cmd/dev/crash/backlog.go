package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/clip"
)

// makeBacklog pauses a webhook, publishes one event for it, and copies the event and its delivery in the store,
// because publishing them through the API would take minutes. It returns one of the deliveries that will be sent
// last.
func (r *run) makeBacklog(ctx context.Context, w *Webhook, size int) (delivery string, err error) {
	if err := call(ctx, r.balancer, http.MethodPatch, w.path(), map[string]any{"paused": true}, nil); err != nil {
		return "", err
	}
	list := r.publisher.publish(ctx, r.balancer, order{kind: single, typ: w.Events[0], prefix: w.Events[0] + "."})
	template := list[0]
	if !template.Accepted {
		return "", errors.New("its first event was not accepted")
	}
	r.publisher.forget(template) // the oracle ignores the backlog
	begin := time.Now()
	err = onConn(ctx, r.Database, func(conn *pgx.Conn) error {
		delivery, err = copyEvent(ctx, conn, template, size)
		return err
	})
	if err == nil {
		r.Progress("%d deliveries wait for %s; made in %v", size, w.Name, time.Since(begin).Round(time.Second/10))
	}
	return delivery, err
}

// copyAtOnce is the number of copies in a transaction.
const copyAtOnce = 20_000

// copyEvent copies a deferred event and its one delivery until there are size of them, each with ids and a reference
// of its own. It returns one delivery, which is due after all others.
func copyEvent(ctx context.Context, conn *pgx.Conn, template *Publication, size int) (last string, err error) {
	var deferred, deliveries int
	err = conn.QueryRow(ctx, `
		select count(*) filter (where parked), count(*) from deliveries where event_id = $1`, template.ID).Scan(&deferred, &deliveries)
	if err != nil {
		return "", fmt.Errorf("look at event %s: %w", template.ID, err)
	}
	if deferred != 1 || deliveries != 1 {
		return "", fmt.Errorf("event %s has %d deliveries, %d of them deferred, not 1", template.ID, deliveries, deferred)
	}
	for done := 1; done < size; done += copyAtOnce {
		n := min(copyAtOnce, size-done)
		// The copies have all columns of the originals, so new columns need no change here. Their ids keep the
		// original's time, and with it the day.
		err := conn.QueryRow(ctx, `
			with copies as materialized (
				select i, overlay(gen_random_uuid()::text placing substr($1::text, 1, 15) from 1 for 15) as event_id,
					overlay(gen_random_uuid()::text placing substr($1::text, 1, 15) from 1 for 15) as delivery_id
				from generate_series($3::int, $3::int + $4::int - 1) i),
			events_made as (
				insert into events select made.* from events e, copies c, jsonb_populate_record(null::events, to_jsonb(e) || jsonb_build_object(
					'id', c.event_id, 'data', '\x' || encode(convert_to(replace(convert_from(e.data, 'UTF8'), $2::text, $2::text || '.' || c.i), 'UTF8'), 'hex'))) made
				where e.id = $1::text::uuid),
			deliveries_made as (
				insert into deliveries select made.* from deliveries d, copies c, jsonb_populate_record(null::deliveries, to_jsonb(d) || jsonb_build_object(
					'id', c.delivery_id, 'event_id', c.event_id, 'next_attempt_at', d.next_attempt_at + c.i * interval '1 microsecond')) made
				where d.event_id = $1::text::uuid)
			select delivery_id from copies order by i desc limit 1`, template.ID, template.Ref, done, n).Scan(&last)
		if err != nil {
			return "", fmt.Errorf("copy event %s: %w", template.ID, err)
		}
	}
	_, err = conn.Exec(ctx, `analyze events, deliveries`)
	return last, err
}

// forget removes a publication from the evidence.
func (p *Publisher) forget(published *Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.list {
		if other == published {
			p.list = append(p.list[:i], p.list[i+1:]...)
			return
		}
	}
}

// onConn calls do with a connection of its own.
func onConn(ctx context.Context, databaseURL string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // all writes are committed
	return do(conn)
}

// stateOf returns the state of a delivery in an API response.
func stateOf(answer []byte) string {
	var d struct{ Status string }
	if json.Unmarshal(answer, &d) != nil {
		return clip.Text(string(answer), shownAnswer)
	}
	return d.Status
}
