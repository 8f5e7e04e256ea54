package api

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// K9: while other tenants make requests, a tenant's turn rests after each batch.
func TestBatchRests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		neighbour time.Duration // when the other tenant made its last request, before the batch; 0 for never
		took      time.Duration
		rest      time.Duration
	}{
		"a tenant alone does not rest":        {took: 40 * time.Millisecond},
		"it rests for as long as two batches": {neighbour: time.Second, took: 40 * time.Millisecond, rest: 80 * time.Millisecond},
		"a slow store makes no long rest":     {neighbour: time.Second, took: 2 * time.Second, rest: maxBatchRest},
		"a tenant that was active long ago":   {neighbour: activeFor, took: 40 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, busy := newLimits(&Config{}), keyOf(1)
				if c.neighbour > 0 {
					require.NoError(t, l.request(keyOf(2), time.Now()))
					<-time.After(c.neighbour)
				}
				require.NoError(t, l.request(busy, time.Now()))
				require.NoError(t, l.request(busy, time.Now()), "a tenant is no neighbour of itself")
				var ends []func()
				for range l.batches.Most() {
					end, err := l.beginBatch(t.Context(), busy.TenantID)
					require.NoError(t, err)
					ends = append(ends, end)
				}
				<-time.After(c.took)
				for _, end := range ends {
					end()
				}
				began := time.Now()
				end, err := l.beginBatch(t.Context(), busy.TenantID)
				require.NoError(t, err)
				require.Equal(t, c.rest, time.Since(began))
				end()
				synctest.Wait()
			})
		})
	}
}

// A neighbour's own batch does not wait for the rest.
func TestBatchRestIsTheTenantsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, busy, other := newLimits(&Config{}), keyOf(1), keyOf(2)
		for _, key := range []*hook.APIKey{other, busy} {
			require.NoError(t, l.request(key, time.Now()))
		}
		for range l.batches.Most() {
			end, err := l.beginBatch(t.Context(), busy.TenantID)
			require.NoError(t, err)
			defer end()
		}
		began := time.Now()
		end, err := l.beginBatch(t.Context(), other.TenantID)
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		end()
	})
}
