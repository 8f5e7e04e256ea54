package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// usageHours bounds how many hours of usage a page of UsageByTenant adds up: it looks at as many tenants as may have them, at
// least at one.
const usageHours = 50_000

// UsageByTenant returns what each tenant has used in each period in which it used something: by tenant, in the order of their
// ids, and then the earliest first. Tenants that are gone are among them. A page may be short, even empty, without being the
// last: next is the mark after which the next page begins, nil at the end. Each page is exact: it counts everything that was
// committed before it was read.
func (s *Store) UsageByTenant(ctx context.Context, f hook.UsageFilter, after hook.UsageMark, limit int) (list []hook.TenantUsage, next *hook.UsageMark, err error) {
	hours := max(int(f.Until.Sub(f.Since)/time.Hour), 1)
	most := min(max(usageHours/hours, 1), limit+1)
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly} // both statements must see the same rows
	err = pgx.BeginTxFunc(ctx, s.lists, options, func(tx pgx.Tx) error {
		tenants, last, err := usageTenants(ctx, tx, after.TenantID, most)
		if err != nil || len(tenants) == 0 {
			return err
		}
		if last != nil {
			next = &hook.UsageMark{TenantID: *last, Start: f.Until}
		}
		rows, _ := tx.Query(ctx, usageByTenantSQL, pgx.StrictNamedArgs{
			"tenants": tenants, "since": f.Since, "until": f.Until, "by": string(f.By),
			"after_tenant": [16]byte(after.TenantID), "after_start": after.Start, "limit": limit + 1,
		})
		var u hook.TenantUsage
		_, err = pgx.ForEachRow(rows, []any{
			(*[16]byte)(&u.TenantID), &u.ExternalID, &u.Start, &u.Events, &u.Deliveries, &u.Bytes, &u.Attempts, &u.Successes,
		}, func() error {
			list = append(list, u)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, nil, mapErr(fmt.Errorf("sum up usage by tenant: %w", err))
	}
	list, more := cut(list, limit)
	if more {
		u := &list[len(list)-1]
		next = &hook.UsageMark{TenantID: u.TenantID, Start: u.Start}
	}
	return list, next, nil
}

// usageTenants returns the tenants that have usage, from a tenant on: at most so many of those in tenant_usage, each of which is
// found by one look into the primary key, and those between them that are in usage_deltas alone. last is the last of them if
// there are more, else nil.
func usageTenants(ctx context.Context, tx pgx.Tx, from hook.TenantID, most int) (tenants [][16]byte, last *hook.TenantID, err error) {
	var id *[16]byte
	err = tx.QueryRow(ctx, `
		with recursive walked as (
			(select u.tenant_id, 1 as n from tenant_usage u where u.tenant_id >= @from order by u.tenant_id limit 1)
			union all
			select u.tenant_id, w.n + 1 from walked w
			cross join lateral (select u.tenant_id from tenant_usage u where u.tenant_id > w.tenant_id order by u.tenant_id limit 1) u
			where w.n <= @most::int
		), last as (
			select w.tenant_id from walked w where w.n = @most::int and exists (select from walked where n > @most::int)
		), new as (
			select distinct d.tenant_id from usage_deltas d
			where d.tenant_id >= @from and d.tenant_id <= coalesce((select tenant_id from last), @highest::uuid) and `+isUsage+`
		)
		select array(select tenant_id from walked where n <= @most::int union select tenant_id from new), (select tenant_id from last)`,
		pgx.StrictNamedArgs{"from": [16]byte(from), "most": most, "highest": maxID()}).Scan(&tenants, &id)
	return tenants, (*hook.TenantID)(id), err
}

// usageByTenantSQL sums up both tables for some tenants. The offset makes the planner read each tenant's hours by the primary key.
const usageByTenantSQL = `
	with u as (
		select u.* from unnest(@tenants::uuid[]) as n(tenant_id)
		cross join lateral (
			select tenant_id, hour, events, deliveries, bytes, attempts, successes from tenant_usage u
			where u.tenant_id = n.tenant_id and u.hour >= @since and u.hour < @until offset 0) u
		union all
		select tenant_id, hour, events, deliveries, bytes, attempts, successes from usage_deltas
		where tenant_id = any(@tenants::uuid[]) and hour >= @since and hour < @until and ` + isUsage + `
	), summed as (
		select tenant_id, date_trunc(@by, hour, 'UTC') as start, sum(events)::bigint as events, sum(deliveries)::bigint as deliveries,
			sum(bytes)::bigint as bytes, sum(attempts)::bigint as attempts, sum(successes)::bigint as successes
		from u group by 1, 2
	), page as (
		select * from summed where (tenant_id, start) > (@after_tenant::uuid, @after_start::timestamptz) order by tenant_id, start limit @limit
	)
	select p.tenant_id, coalesce(t.external_id, ''), p.start, p.events, p.deliveries, p.bytes, p.attempts, p.successes
	from page p left join tenants t on t.id = p.tenant_id order by p.tenant_id, p.start`
