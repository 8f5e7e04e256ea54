package storage_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// benchRows is how many deliveries BenchmarkFindDeliveries has, spread over thirty days.
func benchRows(b *testing.B) int {
	b.Helper()
	text := os.Getenv("BENCH_ROWS")
	if text == "" {
		return 30_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(b, err, "BENCH_ROWS")
	return n
}

// BenchmarkFindDeliveries measures a page of 50 of each search (A2), on BENCH_ROWS deliveries (default 30,000) of thirty
// days, in two tenants with twenty webhooks each: the small tenant has a hundredth. One in a hundred deliveries has failed, one
// of ten thousand waits. Each event has two deliveries; one of a hundred events has the reference cus_9, which is on none of
// the last three days, and all have cus_1.
func BenchmarkFindDeliveries(b *testing.B) {
	f := setup(b)
	rows := benchRows(b)
	exec := func(sql string, args ...any) {
		_, err := f.db.Exec(b.Context(), sql, args...)
		require.NoError(b, err)
	}
	var small hook.TenantID
	require.NoError(b, f.db.QueryRow(b.Context(), `insert into tenants (id, name) values (gen_random_uuid(), 'small') returning id`).Scan((*[16]byte)(&small)))
	webhooks := map[hook.TenantID][][16]byte{}
	for _, tenant := range []hook.TenantID{hook.DefaultTenant(), small} {
		for range 20 {
			w := f.webhook(b, ofTenant(tenant), events("*"))
			webhooks[tenant] = append(webhooks[tenant], w.ID)
		}
	}
	for day := 29; day >= 0; day-- {
		for _, base := range partitioned {
			exec(`do $$ declare d date := (now() at time zone 'utc')::date - ` + strconv.Itoa(day) + `; begin
				execute format('create table if not exists %I partition of ` + base + ` for values from (%L) to (%L)', day_name('` + base + `', d), day_floor(d), day_floor(d + 1)); end $$`)
		}
		exec(`with k as (
				select (left(i, 8) || '-' || substr(i, 9, 4) || '-7' || substr(i, 13, 3) || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id, n,
					case when n % 100 = 0 then $3::uuid else $4::uuid end as tenant_id, case when n % 1000 = 0 then 'user.deleted' else 'user.created' end as type
				from generate_series(1, $1::int) n,
				lateral (select lpad(to_hex((extract(epoch from (now() at time zone 'utc')::date - $2::int) * 1000)::bigint + n::bigint * 86000000 / $1), 12, '0') || lpad(to_hex(n % 4096), 3, '0') as i) i
			), e as (
				insert into events (id, tenant_id, type, data, deliveries, created_at, refs)
				select id, tenant_id, type, '{"id":"user_123"}', 2, now(), case when n % 100 = 1 and $2 > 2 then array['cus_1', 'cus_9'] else array['cus_1'] end from k
			), r as (
				insert into event_references (tenant_id, reference, event_id)
				select tenant_id, 'cus_1', id from k union all select tenant_id, 'cus_9', id from k where n % 100 = 1 and $2 > 2
			), d as (
				insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, attempts, scheduled, status_code, error, next_attempt_at, delivered_at, created_at, updated_at, generation)
				select (left(k.id::text, 18) || '-8' || substr(md5(k.id::text || half), 1, 3) || '-' || substr(md5(k.id::text || half), 4, 12))::uuid, k.id,
					case when tenant_id = $3 then ($5::uuid[])[1 + (n / 100 * 2 + half) % 20] else ($6::uuid[])[1 + (n * 2 + half) % 20] end, tenant_id, type,
					case when h = 0 then 'failed' when h = 1 and n % 100 = 7 then 'pending' else 'success' end, case when h = 1 and n % 100 = 7 then 0 else 1 end, 1,
					case when h = 0 then 503 when h = 1 and n % 100 = 7 then null else 200 end, case when h = 0 then 'HTTP 503 Service Unavailable' end,
					case when h = 1 and n % 100 = 7 then now() end, case when h = 0 or h = 1 and n % 100 = 7 then null else now() end, now(), now(), 0
				from k, generate_series(0, 1) half, lateral (select ('x' || substr(md5(k.id::text || half || 'h'), 1, 6))::bit(24)::int % 100 as h) h
				returning id, state
			)
			insert into attempts (id, delivery_id, number, manual, url, started_at, duration_us, dns_us, connect_us, tls_us, first_byte_us,
				remote_addr, request_headers, status_code, error_class, error)
			select gen_random_uuid(), id, 1, false, '', now(), 0, 0, 0, 0, 0, '', '{}', 503, 'status', 'HTTP 503' from d where state = 'failed'`,
			rows/60, day, [16]byte(small), [16]byte(hook.DefaultTenant()), webhooks[small], webhooks[hook.DefaultTenant()])
	}
	exec(`vacuum analyze`)
	yes, no := true, false
	week := time.Now().AddDate(0, 0, -7)
	one := hook.WebhookID(webhooks[hook.DefaultTenant()][3])
	for _, test := range []struct {
		name   string
		search hook.DeliverySearch
		tenant hook.TenantID
		until  time.Time
		every  bool // over all tenants
	}{
		{name: "all"},
		{name: "all, small tenant", tenant: small},
		{name: "all, a week ago", until: week},
		{name: "success", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StateSuccess}}},
		{name: "final", search: hook.DeliverySearch{Final: &yes}},
		{name: "not final", search: hook.DeliverySearch{Final: &no}},
		{name: "pending", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StatePending}}},
		{name: "failed", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StateFailed}}},
		{name: "failed, small tenant", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StateFailed}}, tenant: small},
		{name: "failed or success", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StateFailed, hook.StateSuccess}}},
		{name: "undelivered", search: hook.DeliverySearch{Undelivered: true}},
		{name: "undelivered, a week ago", search: hook.DeliverySearch{Undelivered: true}, until: week},
		{name: "5xx", search: hook.DeliverySearch{StatusClass: 5}},
		{name: "4xx (none)", search: hook.DeliverySearch{StatusClass: 4}},
		{name: "class status", search: hook.DeliverySearch{Class: hook.ClassStatus}},
		{name: "class tls (none)", search: hook.DeliverySearch{Class: hook.ClassTLS}},
		{name: "type, one in 1,000", search: hook.DeliverySearch{EventType: "user.deleted"}},
		{name: "type, none", search: hook.DeliverySearch{EventType: "no.such"}},
		{name: "failed of a type", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StateFailed}, EventType: "user.deleted"}},
		{name: "reference cus_9", search: hook.DeliverySearch{Reference: "cus_9"}},
		{name: "reference cus_1", search: hook.DeliverySearch{Reference: "cus_1"}},
		{name: "reference cus_1, undelivered", search: hook.DeliverySearch{Reference: "cus_1", Undelivered: true}},
		{name: "reference cus_1, tls (none)", search: hook.DeliverySearch{Reference: "cus_1", Class: hook.ClassTLS}},
		{name: "webhook", search: hook.DeliverySearch{WebhookID: one}},
		{name: "webhook, undelivered", search: hook.DeliverySearch{WebhookID: one, Undelivered: true}},
		{name: "webhook, pending", search: hook.DeliverySearch{WebhookID: one, States: []hook.DeliveryState{hook.StatePending}}},
		{name: "webhook, type none", search: hook.DeliverySearch{WebhookID: one, EventType: "no.such"}},
		{name: "every tenant", every: true},
		{name: "every tenant, a week ago", until: week, every: true},
		{name: "every tenant, success", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StateSuccess}}, every: true},
		{name: "every tenant, pending", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StatePending}}, every: true},
		{name: "every tenant, not final", search: hook.DeliverySearch{Final: &no}, every: true},
		{name: "every tenant, final", search: hook.DeliverySearch{Final: &yes}, every: true},
		{name: "every tenant, failed", search: hook.DeliverySearch{States: []hook.DeliveryState{hook.StateFailed}}, every: true},
		{name: "every tenant, undelivered", search: hook.DeliverySearch{Undelivered: true}, every: true},
		{name: "every tenant, undelivered, a week ago", search: hook.DeliverySearch{Undelivered: true}, until: week, every: true},
		{name: "every tenant, 4xx (none)", search: hook.DeliverySearch{StatusClass: 4}, every: true},
		{name: "every tenant, class tls (none)", search: hook.DeliverySearch{Class: hook.ClassTLS}, every: true},
		{name: "every tenant, type, none", search: hook.DeliverySearch{EventType: "no.such"}, every: true},
		{name: "every tenant, reference cus_9", search: hook.DeliverySearch{Reference: "cus_9"}, every: true},
		{name: "every tenant, reference cus_1, undelivered", search: hook.DeliverySearch{Reference: "cus_1", Undelivered: true}, every: true},
		{name: "every tenant, webhook, undelivered", search: hook.DeliverySearch{WebhookID: one, Undelivered: true}, every: true},
	} {
		b.Run(test.name, func(b *testing.B) {
			tenant := test.tenant
			if tenant == (hook.TenantID{}) {
				tenant = hook.DefaultTenant()
			}
			found := 0
			var slowest time.Duration
			for b.Loop() {
				begin := time.Now()
				of := hook.OneTenant(tenant)
				if test.every {
					of = hook.TenantFilter{All: true}
				}
				list, _, err := f.FindDeliveries(b.Context(), of, test.search, hook.Page{Limit: 50, Until: test.until})
				require.NoError(b, err)
				found, slowest = len(list), max(slowest, time.Since(begin))
			}
			b.ReportMetric(float64(found), "found")
			b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-ms")
		})
	}
	for _, filter := range []hook.EventFilter{{}, {Reference: "cus_9"}, {Reference: "cus_1"}, {Reference: "cus_1", Type: "no.such"}, {Type: "no.such"}} {
		for of, name := range map[hook.TenantFilter]string{hook.OneTenant(hook.DefaultTenant()): "", {All: true}: "every tenant, "} {
			b.Run(name+"events of "+filter.Reference+" "+filter.Type, func(b *testing.B) {
				for b.Loop() {
					_, _, err := f.Events(b.Context(), of, filter, hook.Page{Limit: 50, Bytes: 1 << 20})
					require.NoError(b, err)
				}
			})
		}
	}
}
