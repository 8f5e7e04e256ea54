package storage

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Erasing goes through a tenant's events in the order of their ids (K8). An event goes after its deliveries, and a delivery
// before its attempts: a recording writes an attempt only for a delivery that it has updated, so it leaves nothing behind.

// erasedEvent is an event that is to be erased.
type erasedEvent struct {
	id         hook.EventID
	bytes      int64
	references []string
}

// erasedDelivery is a delivery that is to be erased.
type erasedDelivery struct {
	// event is the place of its event in the page.
	event    int
	id       hook.DeliveryID
	attempts int
	// canceled says that it was pending when the deletion was requested.
	canceled bool
}

// erase erases some events, deliveries and attempts. First it waits for the transactions that were storing events when it
// began: their events' ids may lie anywhere in the last minutes, and later ones store nothing for the tenant.
func (d *deleting) erase(ctx context.Context, tx pgx.Tx) error {
	// In the order of partitioned_tables, in which days are dropped; it is not that in which rows are deleted.
	_, err := tx.Exec(ctx, `lock table only attempts, only deliveries, only events, only shared_workflows, only event_references in row exclusive mode`)
	if err != nil {
		return err
	}
	if d.lateWriters == nil {
		// This transaction has the lock as well; writersNow leaves it out.
		err := tx.QueryRow(ctx, `update tenant_deletions set late_writers = `+writersNow+` where tenant_id = $1 returning late_writers`, [16]byte(d.tenant)).
			Scan(&d.lateWriters)
		if err != nil {
			return err
		}
	}
	ended, err := transactionsEnded(ctx, tx, d.lateWriters)
	if err != nil || !ended {
		d.step.Waiting = true
		return err
	}
	events, err := d.nextEvents(ctx, tx)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	if len(events) == 0 {
		d.step.Phase = hook.DeletionFinishing
		return nil
	}
	deliveries, all, err := d.nextDeliveries(ctx, tx, events)
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	done := len(events)
	if !all {
		done = 0
		if len(deliveries) > 0 {
			done = deliveries[len(deliveries)-1].event
		}
	}
	if gone, err := d.eraseDeliveries(ctx, tx, deliveries); err != nil || !gone {
		return err
	}
	d.deliveryCursor = nil
	if !all {
		d.deliveryCursor = &deliveries[len(deliveries)-1].id
	}
	return d.eraseEvents(ctx, tx, events[:done])
}

// nextEvents reads the next events, so many that their data can be deleted at once.
func (d *deleting) nextEvents(ctx context.Context, tx pgx.Tx) ([]erasedEvent, error) {
	rows, _ := tx.Query(ctx, `
		select e.id, octet_length(e.data), e.refs from events e where e.tenant_id = $1 and e.id > $2 order by e.id limit $3`,
		[16]byte(d.tenant), [16]byte(d.eventCursor), deletionEvents)
	var list []erasedEvent
	var e erasedEvent
	var sum int64
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&e.id), &e.bytes, &e.references}, func() error {
		if sum += e.bytes; len(list) == 0 || sum <= deletionBytes {
			list = append(list, e)
		} else {
			sum = math.MaxInt32 // what follows is left to the next step, too
		}
		e = erasedEvent{}
		return nil
	})
	return list, err
}

// nextDeliveries reads the deliveries of the events in their order, up to a bound of them and of their attempts. all says
// that these are all. Otherwise the last event in the list has more.
func (d *deleting) nextDeliveries(ctx context.Context, tx pgx.Tx, events []erasedEvent) (list []erasedDelivery, all bool, err error) {
	ids := make([]hook.EventID, len(events))
	for i := range events {
		ids[i] = events[i].id
	}
	args := sliceArgs(ids, 0, 1)
	args["since"], args["most"] = d.step.RequestedAt, deletionDeliveries+1
	if d.deliveryCursor != nil { // the first event's deliveries up to here are erased
		args["los"].([][16]byte)[0] = next(*d.deliveryCursor)
	}
	rows, _ := tx.Query(ctx, `
		select k.n, d.id, d.attempts, d.next_attempt_at is not null or d.state = 'canceled' and d.updated_at >= @since
		from unnest(@events::uuid[], @los::uuid[], @his::uuid[]) with ordinality as k(event_id, lo, hi, n)
		cross join lateral (
			select * from deliveries d where d.id between k.lo and k.hi and d.event_id = k.event_id order by d.id limit @most) d
		order by k.n, d.id limit @most`, args)
	all = true
	attempts := 0
	var one erasedDelivery
	_, err = pgx.ForEachRow(rows, []any{&one.event, (*[16]byte)(&one.id), &one.attempts, &one.canceled}, func() error {
		one.event-- // places are counted from 1
		attempts += one.attempts
		if all = all && len(list) < deletionDeliveries && (len(list) == 0 || attempts <= deletionAttempts); all {
			list = append(list, one)
		}
		return nil
	})
	return list, all, err
}

// next returns the id after one, for a bound that excludes it.
func next(id hook.DeliveryID) [16]byte {
	after := [16]byte(id)
	for i := len(after) - 1; i >= 0; i-- {
		if after[i]++; after[i] != 0 {
			break
		}
	}
	return after
}

// eraseDeliveries erases deliveries with their attempts. A single delivery with very many attempts loses some of them first:
// then gone is false.
func (d *deleting) eraseDeliveries(ctx context.Context, tx pgx.Tx, list []erasedDelivery) (gone bool, err error) {
	if len(list) == 0 {
		return true, nil
	}
	if list[0].attempts > deletionAttempts {
		tag, err := tx.Exec(ctx, `
			delete from attempts where delivery_id = $1 and number = any(array(
				select number from attempts where delivery_id = $1 order by number desc limit $2))`, [16]byte(list[0].id), deletionAttempts)
		if err != nil || tag.RowsAffected() == deletionAttempts {
			return false, err
		}
	}
	ids := make([][16]byte, len(list))
	lo, hi := list[0].id, list[0].id
	for i := range list {
		ids[i] = list[i].id
		lo, hi = lesser(lo, list[i].id), greater(hi, list[i].id)
		if list[i].canceled {
			d.step.Canceled++
		}
	}
	// The bounds exclude the other days' partitions. Rows are locked by id, as everywhere.
	_, err = tx.Exec(ctx, `
		delete from deliveries where id between $2 and $3 and id = any(array(
			select id from deliveries where id between $2 and $3 and id = any($1) order by id for update))`, ids, [16]byte(lo), [16]byte(hi))
	if err != nil {
		return false, fmt.Errorf("delete deliveries: %w", err)
	}
	_, err = tx.Exec(ctx, `delete from attempts where delivery_id between $2 and $3 and delivery_id = any($1)`, ids, [16]byte(lo), [16]byte(hi))
	if err != nil {
		return false, fmt.Errorf("delete attempts: %w", err)
	}
	d.step.Deliveries += int64(len(list))
	return true, nil
}

// eraseEvents erases events without deliveries, with all that refers to them.
func (d *deleting) eraseEvents(ctx context.Context, tx pgx.Tx, list []erasedEvent) error {
	if len(list) == 0 {
		return nil
	}
	var ids, of [][16]byte
	var references []string
	for i := range list {
		ids = append(ids, list[i].id)
		for _, r := range list[i].references {
			of, references = append(of, list[i].id), append(references, r)
		}
	}
	lo, hi := ids[0], ids[len(ids)-1]
	batch := &pgx.Batch{}
	batch.Queue(`delete from events where id between $2 and $3 and id = any($1)`, ids, lo, hi)
	batch.Queue(`delete from shared_workflows where event_id between $2 and $3 and event_id = any($1)`, ids, lo, hi)
	if len(of) > 0 {
		batch.Queue(`
			delete from event_references r using unnest($2::text[], $3::uuid[]) as k(reference, event_id)
			where r.tenant_id = $1 and r.reference = k.reference and r.event_id = k.event_id and r.event_id between $4 and $5`,
			[16]byte(d.tenant), references, of, lo, hi)
	}
	batch.Queue(`delete from outbox where event_id = any(array(select event_id from outbox where event_id = any($1) order by event_id for update))`, ids)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("delete events: %w", err)
	}
	d.step.Events += int64(len(list))
	d.eventCursor = list[len(list)-1].id
	return nil
}

func lesser(a, b hook.DeliveryID) hook.DeliveryID {
	if string(a[:]) < string(b[:]) {
		return a
	}
	return b
}

func greater(a, b hook.DeliveryID) hook.DeliveryID {
	if string(a[:]) < string(b[:]) {
		return b
	}
	return a
}
