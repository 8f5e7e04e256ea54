package storage_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// BenchmarkMatch measures accepting an event for one webhook, by the number of the tenant's other webhooks: the
// cost must depend on the webhooks that match, not on all.
func BenchmarkMatch(b *testing.B) {
	for _, others := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			f := setup(b)
			f.webhook(b, events("user.created"))
			f.others(b, others)
			b.ReportAllocs()
			for b.Loop() {
				a, err := f.Publish(b.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: eventData()})
				require.NoError(b, err)
				require.Equal(b, 1, a.Event.Deliveries)
			}
		})
	}
}

// others creates webhooks of the default tenant for event types that are never published.
func (f *fixture) others(b *testing.B, n int) {
	b.Helper()
	_, err := f.db.Exec(b.Context(), `
		with made as (
			insert into webhooks (id, tenant_id, profile, url, events, secret, active, timeout_ms, max_attempts, created_at, updated_at)
			select gen_random_uuid(), $1, 'standard', 'https://example.com/hooks', array['other' || i || '.*'], '', true, 30000, 5, now(), now()
			from generate_series(1, $2::int) i returning id, tenant_id, events
		)
		insert into subscriptions (tenant_id, pattern, webhook_id) select tenant_id, events[1], id from made`, [16]byte(hook.DefaultTenant()), n)
	require.NoError(b, err)
	_, err = f.db.Exec(b.Context(), `analyze webhooks, subscriptions`)
	require.NoError(b, err)
}
