package storage

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Statistics (P6) are counted by the statements that record attempts and end deliveries: each adds rows to usage_deltas, so
// they are there exactly if the attempts are. FoldUsage adds them to stats, from where they are read. docs/adr/0017 has the
// reasons.

// latencyColumns returns an expression for each bucket of hook.Latencies, separated by commas.
func latencyColumns(format string) string {
	list := make([]string, hook.LatencyBuckets)
	for i := range list {
		list[i] = strings.ReplaceAll(format, "#", strconv.Itoa(i))
	}
	return strings.Join(list, ", ")
}

// statsColumns are the columns of hook.Stats, in the order of statsTargets.
func statsColumns() string {
	return `delivered, failed, attempts, failed_attempts, ` + latencyColumns(`l#`)
}

// statsSums are the sums of statsColumns.
func statsSums() string {
	return `coalesce(sum(delivered), 0)::bigint as delivered, coalesce(sum(failed), 0)::bigint as failed,
		coalesce(sum(attempts), 0)::bigint as attempts, coalesce(sum(failed_attempts), 0)::bigint as failed_attempts, ` +
		latencyColumns(`coalesce(sum(l#), 0)::bigint as l#`)
}

func statsTargets(s *hook.Stats) []any {
	targets := []any{&s.Delivered, &s.Failed, &s.Attempts, &s.FailedAttempts}
	for i := range s.Latencies {
		targets = append(targets, &s.Latencies[i])
	}
	return targets
}

// nobody stands for the sums over all webhooks of a tenant, and over all tenants.
const nobody = `'00000000-0000-0000-0000-000000000000'::uuid`

// foldStats is the part of foldSQL that adds the deltas of webhooks to stats: for the webhook, its tenant and all, each by minute,
// hour and day.
func foldStats() string {
	return `counted as (
		select tenant_id, webhook_id, minute, sum(delivered) as delivered, sum(failed) as failed, sum(attempts) as attempts,
			sum(attempts - successes) as failed_attempts, ` + latencyColumns(`sum(attempts) filter (where bucket = #) as l#`) + `
		from gone where webhook_id is not null group by 1, 2, 3
	), spread as (
		select k.tenant_id, k.webhook_id, s.step, date_trunc(s.step, c.minute, 'UTC') as at, ` + statsSums() + `
		from counted c cross join (values ('minute'), ('hour'), ('day')) s(step)
		cross join lateral (values (c.tenant_id, c.webhook_id), (c.tenant_id, ` + nobody + `), (` + nobody + `, ` + nobody + `)) k(tenant_id, webhook_id)
		where (select count(*) from added) >= 0 -- so that added comes first
		group by 1, 2, 3, 4
	), put as (
		insert into stats as s (tenant_id, webhook_id, step, at, ` + statsColumns() + `)
		select tenant_id, webhook_id, step, at, ` + statsColumns() + ` from spread order by tenant_id, webhook_id, step, at
		on conflict (tenant_id, webhook_id, step, at) do update set delivered = s.delivered + excluded.delivered, failed = s.failed + excluded.failed,
			attempts = s.attempts + excluded.attempts, failed_attempts = s.failed_attempts + excluded.failed_attempts, ` +
		latencyColumns(`l# = s.l# + excluded.l#`) + `
	)`
}

// countFailed counts deliveries that have failed for good without an attempt.
func countFailed(ctx context.Context, tx pgx.Tx, ended []hook.Delivery) error {
	var tenants, webhooks [][16]byte
	for i := range ended {
		if d := &ended[i]; !d.Test {
			tenants, webhooks = append(tenants, d.TenantID), append(webhooks, d.WebhookID)
		}
	}
	if len(tenants) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		insert into usage_deltas (tenant_id, hour, webhook_id, minute, failed)
		select tenant_id, date_trunc('hour', statement_timestamp(), 'UTC'), webhook_id, date_trunc('minute', statement_timestamp(), 'UTC'), count(*)
		from unnest($1::uuid[], $2::uuid[]) as d(tenant_id, webhook_id) group by tenant_id, webhook_id`, tenants, webhooks)
	if err != nil {
		return fmt.Errorf("count failed deliveries: %w", err)
	}
	return nil
}

// statsTenant is the tenant under which the counts of a filter are found.
const statsTenant = `case when @webhook::uuid <> ` + nobody + ` and @tenant::uuid = ` + nobody + `
	then (select tenant_id from webhooks where id = @webhook::uuid) else @tenant::uuid end`

// statsTable is the table of a step. Naming it, instead of the one over all, spares choosing among them for each webhook.
func statsTable(step hook.StatsStep) string {
	switch step {
	case hook.StepMinute:
		return "stats_minute"
	case hook.StepHour:
		return "stats_hour"
	case hook.StepDay:
	}
	return "stats_day"
}

func statsArgs(f *hook.StatsFilter) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"tenant": [16]byte(f.Of.ID), "webhook": [16]byte(f.WebhookID), "from": f.From, "to": f.To,
	}
}

// Stats returns the counts of each period in which something was counted, the earliest first. It has what happened until some
// seconds ago: see FoldUsage.
func (s *Store) Stats(ctx context.Context, f hook.StatsFilter) ([]hook.StatsPoint, error) {
	rows, _ := s.lists.Query(ctx, `
		select at, `+statsColumns()+` from `+statsTable(f.Step)+`
		where tenant_id = (`+statsTenant+`) and webhook_id = @webhook::uuid and step = '`+string(f.Step)+`' and at >= @from and at < @to order by at`, statsArgs(&f))
	list := []hook.StatsPoint{}
	var p hook.StatsPoint
	_, err := pgx.ForEachRow(rows, append([]any{&p.At}, statsTargets(&p.Stats)...), func() error {
		list = append(list, p)
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("read statistics: %w", err))
	}
	return list, nil
}

// StatsByWebhook returns the counts of those webhooks for which something was counted, at most limit of them: first those with
// the most failed deliveries, then with the most failed attempts, then with the most attempts. Webhooks that are gone are not
// among them.
func (s *Store) StatsByWebhook(ctx context.Context, f hook.StatsFilter, limit int) ([]hook.WebhookStats, error) {
	args := statsArgs(&f)
	args["limit"] = limit
	// The offsets make the planner look each webhook's counts up by the primary key. The order needs few columns, so only
	// those of the webhooks that are returned are read whole.
	ofWebhook := ` from ` + statsTable(f.Step) + ` s where s.tenant_id = w.tenant_id and s.webhook_id = w.id and s.step = '` + string(f.Step) + `' and s.at >= @from and s.at < @to offset 0`
	rows, _ := s.lists.Query(ctx, `
		with worst as (
			select w.id, w.tenant_id, c.failed, c.failed_attempts, c.attempts
			from webhooks w cross join lateral (
				select sum(failed) as failed, sum(failed_attempts) as failed_attempts, sum(attempts) as attempts`+ofWebhook+`) c
			where (@tenant::uuid = `+nobody+` or w.tenant_id = @tenant::uuid) and (@webhook::uuid = `+nobody+` or w.id = @webhook::uuid) and c.attempts is not null
			order by c.failed desc, c.failed_attempts desc, c.attempts desc, w.id limit @limit
		)
		select w.id, `+statsColumnsOfC()+` from worst w cross join lateral (select `+statsSums()+ofWebhook+`) c
		order by c.failed desc, c.failed_attempts desc, c.attempts desc, w.id`, args)
	list := []hook.WebhookStats{}
	var w hook.WebhookStats
	_, err := pgx.ForEachRow(rows, append([]any{(*[16]byte)(&w.WebhookID)}, statsTargets(&w.Stats)...), func() error {
		list = append(list, w)
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("read statistics by webhook: %w", err))
	}
	return list, nil
}

// statsColumnsOfC are statsColumns of c.
func statsColumnsOfC() string {
	return `c.delivered, c.failed, c.attempts, c.failed_attempts, ` + latencyColumns(`c.l#`)
}

// PurgeStats deletes the counts of minutes and hours that are older than these are kept, and those of days that are older than
// days; 0 keeps those for ever. It returns how many rows it has deleted.
func (s *Store) PurgeStats(ctx context.Context, days time.Duration) (deleted int64, err error) {
	for _, step := range hook.StatsSteps() {
		age := step.Kept()
		if step == hook.StepDay {
			age = days
		}
		if age == 0 {
			continue
		}
		// A literal, not an argument, shows the planner which table that is.
		of := `step = '` + string(step) + `'`
		n, err := s.purge(ctx, "statistics", age, `
			delete from stats where `+of+` and (tenant_id, webhook_id, at) in (
				select tenant_id, webhook_id, at from stats where `+of+` and at < now() - $1::interval order by at limit $2)`)
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}
