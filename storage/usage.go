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

// usedByAttempts counts the attempts that recordSQL writes.
const usedByAttempts = `
		insert into usage_deltas (tenant_id, hour, attempts, successes)
		select d.tenant_id, date_trunc('hour', r.started_at, 'UTC'), count(*), count(*) filter (where r.succeeded)
		from d join r on r.id = d.id where not d.test group by 1, 2`

// usedByReplay counts the deliveries that insertReplayed creates.
const usedByReplay = `
		insert into usage_deltas (tenant_id, hour, deliveries)
		select @tenant::uuid, date_trunc('hour', now(), 'UTC'), cardinality(@ids::uuid[])`

// usageSQL sums up both tables. The tenant's condition is left out for all tenants.
const usageSQL = `
	with u as (
		select tenant_id, hour, events, deliveries, bytes, attempts, successes from tenant_usage where hour >= @since and hour < @until%[1]s
		union all
		select tenant_id, hour, events, deliveries, bytes, attempts, successes from usage_deltas where hour >= @since and hour < @until%[1]s
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

// FoldUsage moves the counts of usage_deltas to tenant_usage, page by page, each in one statement: if its answer is lost,
// it has happened or it has not, and repeating it counts nothing twice. Several processes may do it at once; they skip each
// other's rows. It returns how many rows it has moved.
func (s *Store) FoldUsage(ctx context.Context) (moved int64, err error) {
	for {
		var n int64
		err := s.pool.QueryRow(ctx, `
			with gone as (
				delete from usage_deltas where ctid = any(array(select ctid from usage_deltas limit $1 for update skip locked)) returning *
			), summed as (
				select tenant_id, hour, sum(events)::bigint as events, sum(deliveries)::bigint as deliveries, sum(bytes)::bigint as bytes,
					sum(attempts)::bigint as attempts, sum(successes)::bigint as successes
				from gone group by 1, 2
			), added as ( -- in the order of the key, so that no two processes wait for each other
				insert into tenant_usage as u (tenant_id, hour, events, deliveries, bytes, attempts, successes)
				select tenant_id, hour, events, deliveries, bytes, attempts, successes from summed order by tenant_id, hour
				on conflict (tenant_id, hour) do update set events = u.events + excluded.events, deliveries = u.deliveries + excluded.deliveries,
					bytes = u.bytes + excluded.bytes, attempts = u.attempts + excluded.attempts, successes = u.successes + excluded.successes
			)
			select count(*) from gone`, foldPage).Scan(&n)
		if err != nil {
			return moved, mapErr(fmt.Errorf("fold usage: %w", err))
		}
		moved += n
		if n < foldPage {
			return moved, nil
		}
	}
}

// PurgeUsage deletes the counts of hours that began longer ago than age, page by page, and returns how many rows it has
// deleted.
func (s *Store) PurgeUsage(ctx context.Context, age time.Duration) (deleted int64, err error) {
	return s.purge(ctx, "usage", age, `
		delete from tenant_usage where (tenant_id, hour) in (
			select tenant_id, hour from tenant_usage where hour < now() - $1::interval order by hour limit $2)`)
}
