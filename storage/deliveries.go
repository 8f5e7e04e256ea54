package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"grapnel/internal/hook"
)

// deliveryColumns are the columns of deliveryRow, in any query that joins deliveries as d.
const deliveryColumns = `d.id, d.event_id, d.webhook_id, d.tenant_id, d.event_type, d.test, d.state, d.attempts, d.scheduled,
	d.status_code, d.error, d.next_attempt_at, d.delivered_at, d.created_at, d.updated_at, d.parked, d.replay_id, d.generation`

type deliveryRow struct {
	ID            [16]byte
	EventID       [16]byte
	WebhookID     [16]byte
	TenantID      [16]byte
	EventType     string
	Test          bool
	Deferred      bool `db:"parked"`
	ReplayID      *[16]byte
	State         string
	Attempts      int
	Scheduled     int
	StatusCode    *int
	Error         *string
	NextAttemptAt *time.Time
	DeliveredAt   *time.Time
	CreatedAt     time.Time
	UpdatedAt     time.Time
	Generation    *int
}

// targets returns the scan targets of deliveryColumns. Scanning into them allocates only the values of each row;
// scanning by name allocates more.
func (r *deliveryRow) targets() []any {
	return []any{
		&r.ID, &r.EventID, &r.WebhookID, &r.TenantID, &r.EventType, &r.Test, &r.State, &r.Attempts, &r.Scheduled,
		&r.StatusCode, &r.Error, &r.NextAttemptAt, &r.DeliveredAt, &r.CreatedAt, &r.UpdatedAt, &r.Deferred, &r.ReplayID, &r.Generation,
	}
}

func (r *deliveryRow) delivery() hook.Delivery {
	d := hook.Delivery{
		ID: r.ID, EventID: r.EventID, WebhookID: r.WebhookID, TenantID: r.TenantID, EventType: r.EventType,
		Test: r.Test, Deferred: r.Deferred, State: hook.DeliveryState(r.State), Attempts: r.Attempts, Scheduled: r.Scheduled,
		NextAttemptAt: r.NextAttemptAt, DeliveredAt: r.DeliveredAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		Generation: r.Generation,
	}
	if r.ReplayID != nil {
		d.ReplayID = *r.ReplayID
	}
	if r.StatusCode != nil {
		d.StatusCode = *r.StatusCode
	}
	if r.Error != nil {
		d.Error = *r.Error
	}
	return d
}

// Delivery reads one delivery. It is not found if it belongs to another tenant.
func (s *Store) Delivery(ctx context.Context, tenant hook.TenantID, id hook.DeliveryID) (hook.Delivery, error) {
	rows, _ := s.pool.Query(ctx, `select `+shownColumns+` from deliveries d `+shown+` where d.id = $1 and d.tenant_id = $2`,
		[16]byte(id), [16]byte(tenant))
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[shownRow])
	if err != nil {
		return hook.Delivery{}, notFound("delivery", fmt.Errorf("select delivery %s: %w", id, err))
	}
	return row.delivery(), nil
}

// Deliveries lists a webhook's deliveries, newest first, by the event's time (S12). A page may be short, even empty,
// without being the last: next is where the next page begins, nil at the end.
func (s *Store) Deliveries(
	ctx context.Context, w hook.WebhookID, f hook.DeliveryFilter, p hook.Page,
) (deliveries []hook.Delivery, next *[16]byte, err error) {
	ending := false
	if f.State == hook.StateCanceled {
		if ending, err = s.isEnding(ctx, w); err != nil {
			return nil, nil, fmt.Errorf("list deliveries of webhook %s: %w", w, err)
		}
	}
	l := deliveriesListing(w, f, ending)
	deliveries, next, err = readPage(ctx, s, &l, p, collectShown, func(d *hook.Delivery) [16]byte { return d.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("list deliveries of webhook %s: %w", w, err)
	}
	return deliveries, next, nil
}

// isEnding reports whether deliveries of the webhook are still being canceled. Until that is over, some count as
// canceled although their rows do not say so.
func (s *Store) isEnding(ctx context.Context, w hook.WebhookID) (ending bool, err error) {
	err = s.lists.QueryRow(ctx, `select exists (select from cancellations where webhook_id = $1)`, [16]byte(w)).Scan(&ending)
	if err != nil {
		return false, mapErr(fmt.Errorf("look up cancellations: %w", err))
	}
	return ending, nil
}

func deliveriesListing(w hook.WebhookID, f hook.DeliveryFilter, ending bool) listing {
	l := listing{
		table: "deliveries", alias: "d", columns: shownColumns, join: shown,
		within: []string{`d.webhook_id = @webhook_id`}, args: pgx.StrictNamedArgs{"webhook_id": [16]byte(w)},
	}
	const standing = `not coalesce(` + revoked + `, false)`
	// Literals, not arguments, show the planner which index has such rows.
	switch f.State {
	case "":
	case hook.StatePending, hook.StateSending:
		l.within = append(l.within, `d.next_attempt_at is not null`)
		l.filter = append(l.filter, `d.state in ('pending', 'sending')`, standing)
	case hook.StateSuccess:
		l.filter = append(l.filter, `d.state = 'success'`)
	case hook.StateFailed:
		l.within = append(l.within, `d.state = 'failed'`)
		l.filter = append(l.filter, standing)
	case hook.StateCanceled:
		if ending {
			l.filter = append(l.filter, `(d.state = 'canceled' or `+revoked+`)`)
			break
		}
		l.within = append(l.within, `d.state = 'canceled'`)
	case hook.StateTimedOut, hook.StateDropped:
		l.within = append(l.within, `d.state = '`+string(f.State)+`'`)
	}
	l.ofType("d.event_type", f.EventType)
	l.may(f.May, "d.event_type")
	return l
}

// DeliveriesOfEvent lists an event's deliveries, at most limit, in the order of their ids.
func (s *Store) DeliveriesOfEvent(ctx context.Context, e hook.EventID, limit int) ([]hook.Delivery, error) {
	lo, hi := deliveryRange(e)
	rows, _ := s.pool.Query(ctx, `
		select `+shownColumns+` from (
			select * from deliveries d where d.id between @lo and @hi and d.event_id = @event_id order by d.id limit @limit) d `+shown+`
		order by d.id`,
		pgx.StrictNamedArgs{"lo": lo, "hi": hi, "event_id": [16]byte(e), "limit": limit})
	found, err := collectShown(rows)
	if err != nil {
		return nil, mapErr(fmt.Errorf("list deliveries of event %s: %w", e, err))
	}
	return found, nil
}

// States loads the events' deliveries, outstanding or not, without those of replays. If there are several slices, it
// loads the given one.
func (s *Store) States(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Delivery, error) {
	rows, _ := s.pool.Query(ctx, `select `+shownColumns+` from `+ofEvents+` `+shown+` where d.event_id = k.event_id and not d.test and d.replay_id is null`,
		sliceArgs(events, slice, of))
	found, err := collectShown(rows)
	if err != nil {
		return nil, mapErr(fmt.Errorf("load deliveries: %w", err))
	}
	return found, nil
}

func collectDeliveries(rows pgx.Rows) ([]hook.Delivery, error) {
	list := []hook.Delivery{}
	var row deliveryRow
	_, err := pgx.ForEachRow(rows, row.targets(), func() error {
		list = append(list, row.delivery())
		return nil
	})
	return list, err
}

// CancelDeliveries ends outstanding deliveries without another attempt.
func (s *Store) CancelDeliveries(ctx context.Context, ids []hook.DeliveryID, reason string) error {
	n, err := cancel(ctx, s.pool, `id = any($1)`, raw(ids), reason)
	if err != nil {
		return mapErr(fmt.Errorf("cancel deliveries: %w", err))
	}
	s.metrics.Ended(hook.StateCanceled, n)
	return nil
}

// CancelStaleTests ends tests for which nobody waits any more: the process that was to send them is gone (S11).
func (s *Store) CancelStaleTests(ctx context.Context, age time.Duration) error {
	_, err := cancel(ctx, s.pool, `test and next_attempt_at < now() - $1::interval`, age, hook.TextTestLost)
	if err != nil {
		return mapErr(fmt.Errorf("cancel stale tests: %w", err))
	}
	return nil
}

// cancel locks the matching outstanding deliveries, by id as everywhere, and ends them. The ids go through an array
// so that the update looks them up by primary key, however many there are.
func cancel(ctx context.Context, q execer, match string, arg any, reason string) (n int, err error) {
	tag, err := q.Exec(ctx, `
		update deliveries set state = 'canceled', error = $2, next_attempt_at = null, updated_at = now()
		where id = any(array(
			select id from deliveries where `+match+` and next_attempt_at is not null order by id for update))`, arg, reason)
	return int(tag.RowsAffected()), err
}

// execer is a pool or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// raw turns ids into the type that the driver sends as uuid[].
func raw[T ~[16]byte](ids []T) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
