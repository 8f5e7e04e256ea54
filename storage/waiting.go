package storage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/metrics/measure"
)

// mostWaitingCounted bounds what is looked at of each kind, and so what it costs to
// count: in an outage there may be millions.
const mostWaitingCounted = 50_000

// waitingTimeout is when the server gives up counting; a number that is not there does
// less harm than a store that is busy counting.
const waitingTimeout = `set local statement_timeout = '2s'`

// Waiting counts what waits, for metrics. What is done it does not look at, by indexes
// of what is outstanding, so that it costs the same whatever is stored.
func (s *Store) Waiting(ctx context.Context) (measure.BacklogStats, error) {
	var w measure.BacklogStats
	batch := &pgx.Batch{}
	batch.Queue(waitingTimeout)
	batch.Queue(dueSQL, waitingBounds(), mostWaitingCounted).Query(func(rows pgx.Rows) (err error) {
		w.Due, w.OldestDue, err = ranges(rows)
		return err
	})
	batch.Queue(parkedSQL, waitingBounds(), mostWaitingCounted).Query(func(rows pgx.Rows) (err error) {
		w.Deferred, _, err = ranges(rows)
		return err
	})
	batch.Queue(`
		select (select count(*) from (select from outbox limit $1) o),
			coalesce((select extract(epoch from now() - created_at) from outbox order by event_id limit 1), 0)::float8,
			(select count(*) from (select from webhooks where tripped_at is not null limit $1) w),
			-- where days are no longer dropped, nobody looks
			(select count(*) from kept_days where seen_at > now() - interval '1 hour')`, mostWaitingCounted).
		QueryRow(func(row pgx.Row) error {
			var oldest float64
			err := row.Scan(&w.Unstarted, &oldest, &w.Breakers, &w.KeptDays)
			w.OldestUnstarted = seconds(oldest)
			return err
		})
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return measure.BacklogStats{}, mapErr(fmt.Errorf("count what waits: %w", err))
	}
	return w, nil
}

// The order is that of the index, in which the longest due come first: where there are
// more than are counted, the youngest are left out. The indexes alone tell all of it.
const (
	dueSQL = `
		select width_bucket(next_attempt_at, array(select now() - b from unnest($1::interval[]) b)), count(*), min(next_attempt_at)
		from (select next_attempt_at from deliveries where next_attempt_at is not null and not parked order by next_attempt_at, id limit $2) d
		group by 1`
	parkedSQL = `
		select width_bucket(next_attempt_at, array(select now() - b from unnest($1::interval[]) b)), count(*), min(next_attempt_at)
		from (select next_attempt_at from deliveries where next_attempt_at is not null and parked limit $2) d
		group by 1`
)

// waitingBounds are the ranges' bounds in the order of the times that they stand for.
func waitingBounds() []time.Duration {
	bounds := measure.BacklogBounds()
	slices.Reverse(bounds)
	return bounds
}

// ranges reads counts by place among the bounds, from the last range to the first.
func ranges(rows pgx.Rows) (counts []int, oldest time.Duration, err error) {
	counts = make([]int, len(measure.BacklogBounds())+1)
	var place, n int
	var first time.Time
	_, err = pgx.ForEachRow(rows, []any{&place, &n, &first}, func() error {
		counts[len(counts)-1-place] = n
		oldest = max(oldest, time.Since(first))
		return nil
	})
	return counts, oldest, err
}

func seconds(s float64) time.Duration { return max(time.Duration(s*float64(time.Second)), 0) }
