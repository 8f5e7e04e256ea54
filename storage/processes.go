package storage

import (
	"context"
	"fmt"
	"time"

	"grapnel/internal/hook"
)

// processKept is how long the row of a process that has died is kept. It says nothing any more after hook.DeadAfter.
const processKept = 24 * time.Hour

// Heartbeat says that the process is alive, for hook.DeadAfter by the database's clock. It makes the process's row, also
// again after EndProcess.
func (s *Store) Heartbeat(ctx context.Context, id hook.ProcessID) error {
	_, err := s.pool.Exec(ctx, `
		insert into processes (id, heartbeat_at) values ($1, clock_timestamp())
		on conflict (id) do update set heartbeat_at = excluded.heartbeat_at`, [16]byte(id))
	if err != nil {
		return mapErr(fmt.Errorf("heartbeat of process %s: %w", id, err))
	}
	return nil
}

// EndProcess says that the process makes no immediate attempt any more: other processes may take its events over at
// once.
func (s *Store) EndProcess(ctx context.Context, id hook.ProcessID) error {
	if _, err := s.pool.Exec(ctx, `delete from processes where id = $1`, [16]byte(id)); err != nil {
		return mapErr(fmt.Errorf("end process %s: %w", id, err))
	}
	return nil
}

// ProcessAlive reports whether the process's heartbeat is younger than hook.DeadAfter, by the database's clock. A process
// without a row is not alive.
func (s *Store) ProcessAlive(ctx context.Context, id hook.ProcessID) (alive bool, err error) {
	err = s.pool.QueryRow(ctx, `
		select exists (select from processes where id = $1 and heartbeat_at > clock_timestamp() - $2::interval)`,
		[16]byte(id), hook.DeadAfter).Scan(&alive)
	if err != nil {
		return false, mapErr(fmt.Errorf("look for process %s: %w", id, err))
	}
	return alive, nil
}

// PurgeProcesses deletes the rows of processes that died more than a day ago.
func (s *Store) PurgeProcesses(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `delete from processes where heartbeat_at < now() - $1::interval`, processKept); err != nil {
		return mapErr(fmt.Errorf("purge processes: %w", err))
	}
	return nil
}
