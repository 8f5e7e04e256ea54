package storage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/metrics/measure"
)

// maxBacklogCounted bounds how many rows of each kind are read, and so the cost of counting: in an outage there may
// be millions.
const maxBacklogCounted = 50_000

// backlogTimeout is how long the server counts. A missing number does less harm than a store that is busy counting.
const backlogTimeout = `set local statement_timeout = '2s'`

// Backlog counts the deliveries that are due and not sent, and the events that are not started, for metrics. It reads
// indexes of outstanding rows only, so its cost does not grow with what is stored.
func (s *Store) Backlog(ctx context.Context) (measure.BacklogStats, error) {
	var stats measure.BacklogStats
	batch := &pgx.Batch{}
	batch.Queue(backlogTimeout)
	batch.Queue(dueBucketsSQL, bucketBounds(), maxBacklogCounted).Query(func(rows pgx.Rows) (err error) {
		stats.Due, stats.OldestDue, err = ranges(rows)
		return err
	})
	batch.Queue(deferredBucketsSQL, bucketBounds(), maxBacklogCounted).Query(func(rows pgx.Rows) (err error) {
		stats.Deferred, _, err = ranges(rows)
		return err
	})
	batch.Queue(`
		select (select count(*) from (select from outbox limit $1) o),
			coalesce((select extract(epoch from now() - created_at) from outbox order by event_id limit 1), 0)::float8,
			(select count(*) from (select from webhooks where tripped_at is not null limit $1) w),
			(select count(*) from replays where ended_at is null and state = 'running'), (select count(*) from replays where ended_at is null and state = 'paused'),
			-- where days are no longer dropped, nobody looks
			(select count(*) from kept_days where seen_at > now() - interval '1 hour')`, maxBacklogCounted).
		QueryRow(func(row pgx.Row) error {
			var oldest float64
			err := row.Scan(&stats.Unstarted, &oldest, &stats.Breakers, &stats.ReplaysRunning, &stats.ReplaysPaused, &stats.KeptDays)
			stats.OldestUnstarted = seconds(oldest)
			return err
		})
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return measure.BacklogStats{}, mapErr(fmt.Errorf("count the backlog: %w", err))
	}
	return stats, nil
}

// The order is that of the index, which has the longest due first: if there are more rows than are counted, the
// youngest are left out. The indexes alone answer the query.
const (
	dueBucketsSQL = `
		select width_bucket(next_attempt_at, array(select now() - b from unnest($1::interval[]) b)), count(*), min(next_attempt_at)
		from (select next_attempt_at from deliveries where next_attempt_at is not null and not parked order by next_attempt_at, id limit $2) d
		group by 1`
	deferredBucketsSQL = `
		select width_bucket(next_attempt_at, array(select now() - b from unnest($1::interval[]) b)), count(*), min(next_attempt_at)
		from (select next_attempt_at from deliveries where next_attempt_at is not null and parked limit $2) d
		group by 1`
)

// bucketBounds returns the buckets' bounds in the order of the times that they stand for.
func bucketBounds() []time.Duration {
	bounds := measure.BacklogBounds()
	slices.Reverse(bounds)
	return bounds
}

// ranges reads the counts by bucket, from the last bucket to the first.
func ranges(rows pgx.Rows) (counts []int, oldest time.Duration, err error) {
	counts = make([]int, len(measure.BacklogBounds())+1)
	var bucket, n int
	var oldestDue time.Time
	_, err = pgx.ForEachRow(rows, []any{&bucket, &n, &oldestDue}, func() error {
		counts[len(counts)-1-bucket] = n
		oldest = max(oldest, time.Since(oldestDue))
		return nil
	})
	return counts, oldest, err
}

func seconds(s float64) time.Duration { return max(time.Duration(s*float64(time.Second)), 0) }
