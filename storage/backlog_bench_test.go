package storage_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// BenchmarkWaiting measures counting the backlog, by the numbers of due and of finished deliveries. Finished
// deliveries must cost nothing, and the backlog no more than its bound.
func BenchmarkWaiting(b *testing.B) {
	for _, c := range []struct{ done, due, deferred int }{{0, 0, 0}, {1_000_000, 100, 100}, {1_000_000, 20_000, 0}, {1_000_000, 200_000, 200_000}} {
		b.Run(fmt.Sprintf("done=%d/due=%d/deferred=%d", c.done, c.due, c.deferred), func(b *testing.B) {
			f := setup(b)
			f.deliveries(b, c.done, "'success', null, now(), false")
			f.deliveries(b, c.due, "'pending', now() - random() * interval '1 hour', null, false")
			f.deliveries(b, c.deferred, "'pending', now() - random() * interval '1 hour', null, true")
			_, err := f.db.Exec(b.Context(), `vacuum analyze deliveries`)
			require.NoError(b, err)
			for b.Loop() {
				_, err := f.Backlog(b.Context())
				require.NoError(b, err)
			}
		})
	}
}

// deliveries inserts n deliveries; state is SQL for their state, next attempt, time of delivery and the deferred
// flag.
func (f *fixture) deliveries(b *testing.B, n int, state string) {
	b.Helper()
	_, err := f.db.Exec(b.Context(), `
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, delivered_at, parked, created_at, updated_at)
		select (left(uuid_floor(now())::text, 18) || '-8000-' || lpad(to_hex(i + $3), 12, '0'))::uuid, gen_random_uuid(), gen_random_uuid(), $2, 'user.created',
			`+state+`, now(), now()
		from generate_series(1, $1::int) i`, n, [16]byte(hook.DefaultTenant()), f.made)
	require.NoError(b, err)
	f.made += n
}
