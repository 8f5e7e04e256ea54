package storage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// BenchmarkStats measures what the statistics of a tenant of 1,000 webhooks over 30 days cost to read (P6), beside a tenant of
// 9,000 webhooks: by day and by hour, of the tenant, of a webhook, and by webhook.
func BenchmarkStats(b *testing.B) {
	f := setup(b)
	exec := func(sql string, args ...any) {
		_, err := f.db.Exec(b.Context(), sql, args...)
		require.NoError(b, err)
	}
	exec(`insert into tenants (id, name) values ('00000000-0000-7000-8000-0000000000ff', 'large')`)
	// The webhooks are copies of one.
	f.webhook(b)
	exec(`do $$ declare w webhooks; begin
		select * into w from webhooks;
		for n in 1..9999 loop
			w.id := gen_random_uuid();
			if n >= 1000 then w.tenant_id := '00000000-0000-7000-8000-0000000000ff'; end if;
			insert into webhooks select w.*;
		end loop; end $$`)
	counts := `7, 1, 9, 2` + strings.Repeat(`, 1`, hook.LatencyBuckets)
	for _, step := range []struct {
		name, since string
		webhooks    string
	}{{"day", "30 days", `true`}, {"hour", "30 days", `w.id in (select id from webhooks order by id limit 2000)`}, {"minute", "6 hours", `w.id in (select id from webhooks order by id limit 2000)`}} {
		exec(`insert into stats select w.tenant_id, w.id, $1, at, `+counts+` from
			generate_series(date_trunc($1, now() - $2::interval, 'UTC'), now(), ('1 ' || $1)::interval) at, webhooks w where `+step.webhooks, step.name, step.since)
		exec(`insert into stats select distinct t.id, '00000000-0000-0000-0000-000000000000'::uuid, $1, at, `+counts+` from
			generate_series(date_trunc($1, now() - $2::interval, 'UTC'), now(), ('1 ' || $1)::interval) at, tenants t`, step.name, step.since)
	}
	exec(`vacuum analyze`)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	month := hook.StatsFilter{Of: hook.OneTenant(hook.DefaultTenant()), From: day.AddDate(0, 0, -30), To: day.AddDate(0, 0, 1), Step: hook.StepDay}
	hours := month
	hours.Step = hook.StepHour
	var id hook.WebhookID
	require.NoError(b, f.db.QueryRow(b.Context(), `select id from webhooks where tenant_id = $1 limit 1`, [16]byte(hook.DefaultTenant())).Scan((*[16]byte)(&id)))
	one := hours
	one.WebhookID = id
	every := month
	every.Of = hook.TenantFilter{All: true}
	for name, filter := range map[string]hook.StatsFilter{"tenant by day": month, "tenant by hour": hours, "webhook by hour": one} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := f.Stats(b.Context(), filter)
				require.NoError(b, err)
			}
		})
	}
	for name, filter := range map[string]hook.StatsFilter{"1,000 webhooks, 30 days": month, "10,000 webhooks, 30 days": every} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				list, err := f.StatsByWebhook(b.Context(), filter, 100)
				require.NoError(b, err)
				require.Len(b, list, 100)
			}
		})
	}
}

// BenchmarkFold measures what summing up costs: 20,000 rows of 10,000 webhooks of a hundred tenants, which all have rows already (P6).
func BenchmarkFold(b *testing.B) {
	f := setup(b)
	for b.Loop() {
		b.StopTimer()
		_, err := f.db.Exec(b.Context(), `
			insert into usage_deltas (tenant_id, hour, attempts, successes, webhook_id, minute, bucket, delivered)
			select lpad(to_hex(n % 100), 32, '0')::uuid, date_trunc('hour', now(), 'UTC'), 1, 1, lpad(to_hex(n % 10000), 32, '1')::uuid, date_trunc('minute', now(), 'UTC'), n % 7, 1
			from generate_series(1, 20000) n`)
		require.NoError(b, err)
		b.StartTimer()
		moved, err := f.FoldUsage(b.Context(), 0)
		require.NoError(b, err)
		require.EqualValues(b, 20_000, moved)
	}
}
