package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// living makes a process that is alive.
func (f *fixture) living(t *testing.T) hook.ProcessID {
	t.Helper()
	id := hook.NewProcessID()
	require.NoError(t, f.Heartbeat(t.Context(), id))
	return id
}

// stall makes the process's last heartbeat d older.
func (f *fixture) stall(t *testing.T, id hook.ProcessID, d time.Duration) {
	t.Helper()
	f.exec(t, `update processes set heartbeat_at = heartbeat_at - $2::interval where id = $1`, [16]byte(id), d)
}

// The row of a process that has died goes after a day.
func TestPurgeProcesses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	gone, dead, alive := f.living(t), f.living(t), f.living(t)
	f.stall(t, gone, 25*time.Hour)
	f.stall(t, dead, 23*time.Hour)
	require.NoError(t, f.PurgeProcesses(t.Context()))
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from processes where id = any($1)`, [][16]byte{dead, alive}))
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from processes`))
}
