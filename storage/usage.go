package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Usage is counted by the statements that store events, deliveries and attempts (K10): each adds rows to usage_deltas, so
// the counts are exact whatever is killed. FoldUsage sums them up in tenant_usage. Whoever reads adds both, in one
// snapshot.

// usedByEvents counts the events that insertEvents stores, with their deliveries.
const usedByEvents = `
		insert into usage_deltas (tenant_id, hour, events, deliveries, bytes)
		select e.tenant_id, date_trunc('hour', e.created_at, 'UTC'), count(*), sum(c.deliveries), sum(octet_length(e.data))
		from e join counted c on c.n = e.n group by 1, 2`

// usedByAttempts counts the attempts that recordSQL writes, and the deliveries that they end (P6). A delivery was delivered
// now if its time is not before this statement.
const usedByAttempts = `
		insert into usage_deltas (tenant_id, hour, attempts, successes, webhook_id, minute, bucket, delivered, failed)
		select d.tenant_id, date_trunc('hour', r.started_at, 'UTC'), count(*), count(*) filter (where r.succeeded),
			d.webhook_id, date_trunc('minute', statement_timestamp(), 'UTC'), r.bucket,
			count(*) filter (where r.succeeded and d.delivered_at >= statement_timestamp()),
			count(*) filter (where r.outstanding and d.next_attempt_at is null and d.state in ('failed', 'timed_out', 'dropped'))
		from d join r on r.id = d.id where not d.test group by 1, 2, d.webhook_id, r.bucket`

// usedByReplay counts the deliveries that insertReplayed creates.
const usedByReplay = `
		insert into usage_deltas (tenant_id, hour, deliveries)
		select @tenant::uuid, date_trunc('hour', now(), 'UTC'), cardinality(@ids::uuid[])`

// isUsage is the condition that a row of usage_deltas counts usage: others are of statistics alone.
const isUsage = `(events > 0 or deliveries > 0 or attempts > 0)`

// usageSQL sums up both tables. The tenant's condition is left out for all tenants.
const usageSQL = `
	with u as (
		select tenant_id, hour, events, deliveries, bytes, attempts, successes from tenant_usage where hour >= @since and hour < @until%[1]s
		union all
		select tenant_id, hour, events, deliveries, bytes, attempts, successes from usage_deltas where hour >= @since and hour < @until and ` + isUsage + `%[1]s
	)
	select tenant_id, date_trunc(@by, hour, 'UTC') as start, sum(events)::bigint as events, sum(deliveries)::bigint as deliveries,
		sum(bytes)::bigint as bytes, sum(attempts)::bigint as attempts, sum(successes)::bigint as successes
	from u group by 1, 2 order by 2, 1`

// Usage returns what was used in each period in which something was, the earliest first, and then by tenant. It is exact:
// it counts everything that is committed.
func (s *Store) Usage(ctx context.Context, f hook.UsageFilter) ([]hook.Usage, error) {
	args, of := pgx.StrictNamedArgs{"since": f.Since, "until": f.Until, "by": string(f.By)}, ""
	if !f.Of.All {
		args["tenant_id"], of = [16]byte(f.Of.ID), ` and tenant_id = @tenant_id`
	}
	rows, _ := s.lists.Query(ctx, fmt.Sprintf(usageSQL, of), args) // ForEachRow reports its error
	list := []hook.Usage{}
	var u hook.Usage
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&u.TenantID), &u.Start, &u.Events, &u.Deliveries, &u.Bytes, &u.Attempts, &u.Successes}, func() error {
		list = append(list, u)
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("sum up usage: %w", err))
	}
	return list, nil
}

// foldPage is how many rows FoldUsage moves in a transaction at most.
const foldPage = 20_000

// FoldUsage moves the counts of usage_deltas that were made longer ago than age to tenant_usage and stats, page by page, each
// in one statement: if its answer is lost, it has happened or it has not, and repeating it counts nothing twice. Several
// processes may do it at once; they skip each other's rows. It returns how many rows it has moved.
func (s *Store) FoldUsage(ctx context.Context, age time.Duration) (moved int64, err error) {
	for {
		var n int64
		err := s.pool.QueryRow(ctx, foldSQL(), age, foldPage).Scan(&n)
		if err != nil {
			return moved, mapErr(fmt.Errorf("fold usage: %w", err))
		}
		moved += n
		if n < foldPage {
			return moved, nil
		}
	}
}

// foldSQL adds in the order of the keys, and to tenant_usage before stats, so that no two processes wait for each other.
func foldSQL() string {
	return `
	with gone as (
		delete from usage_deltas where ctid = any(array(
			select ctid from usage_deltas where at is null or at <= clock_timestamp() - $1::interval limit $2 for update skip locked)) returning *
	), summed as (
		select tenant_id, hour, sum(events)::bigint as events, sum(deliveries)::bigint as deliveries, sum(bytes)::bigint as bytes,
			sum(attempts)::bigint as attempts, sum(successes)::bigint as successes
		from gone where ` + isUsage + ` group by 1, 2
	), added as (
		insert into tenant_usage as u (tenant_id, hour, events, deliveries, bytes, attempts, successes)
		select tenant_id, hour, events, deliveries, bytes, attempts, successes from summed order by tenant_id, hour
		on conflict (tenant_id, hour) do update set events = u.events + excluded.events, deliveries = u.deliveries + excluded.deliveries,
			bytes = u.bytes + excluded.bytes, attempts = u.attempts + excluded.attempts, successes = u.successes + excluded.successes
		returning 1
	), ` + foldStats() + `
	select count(*) from gone`
}

// PurgeUsage deletes the counts of hours that began longer ago than age, page by page, and returns how many rows it has
// deleted.
func (s *Store) PurgeUsage(ctx context.Context, age time.Duration) (deleted int64, err error) {
	return s.purge(ctx, "usage", age, `
		delete from tenant_usage where (tenant_id, hour) in (
			select tenant_id, hour from tenant_usage where hour < now() - $1::interval order by hour limit $2)`)
}
