package storage_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
)

// Among all processes, a lease has one holder at a time. Leases of different names are independent.
func TestLease(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := open(t, f.url, encryptionKey)
	mine, theirs := hook.LeaseHolder{1}, hook.LeaseHolder{2}
	require.True(t, must(f.Lease(t.Context(), "x", mine, time.Minute)))
	require.False(t, must(other.Lease(t.Context(), "x", theirs, time.Minute)))
	require.True(t, must(other.Lease(t.Context(), "y", theirs, time.Minute)))
	require.True(t, must(f.Lease(t.Context(), "x", mine, time.Hour)), "it is prolonged")
	require.Greater(t, scalar[time.Duration](t, f, `select until - now() from leases where name = 'x'`), 50*time.Minute)

	require.NoError(t, other.EndLease(t.Context(), "x", theirs))
	require.False(t, must(other.Lease(t.Context(), "x", theirs, time.Minute)), "nobody ends another's")
	require.NoError(t, f.EndLease(t.Context(), "x", mine))
	require.True(t, must(other.Lease(t.Context(), "x", theirs, time.Minute)))

	// The holder has died.
	f.exec(t, `update leases set until = now() - interval '1 millisecond' where name = 'x'`)
	require.True(t, must(f.Lease(t.Context(), "x", mine, time.Minute)))
	require.False(t, must(other.Lease(t.Context(), "x", theirs, time.Minute)))
}

func TestLeaseCompetes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, state := range []string{`delete from leases`, `update leases set until = now() - interval '1 second'`} {
		f.exec(t, state)
		var held atomic.Int32
		var group errgroup.Group
		for i := range 16 {
			group.Go(func() error {
				ok, err := f.Lease(t.Context(), "x", hook.LeaseHolder{byte(i + 1)}, time.Minute)
				if ok {
					held.Add(1)
				}
				return err
			})
		}
		require.NoError(t, group.Wait())
		require.EqualValues(t, 1, held.Load(), state)
	}
}
