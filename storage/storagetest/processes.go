package storagetest

import (
	"context"

	"grapnel/internal/hook"
)

// Heartbeat says that the process is alive, for hook.DeadAfter.
func (s *Store) Heartbeat(ctx context.Context, id hook.ProcessID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failing(ctx, OpHeartbeat); err != nil {
		return err
	}
	s.processes[id] = s.now()
	return nil
}

// EndProcess says that the process makes no immediate attempt any more.
func (s *Store) EndProcess(ctx context.Context, id hook.ProcessID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failing(ctx, OpEndProcess); err != nil {
		return err
	}
	delete(s.processes, id)
	return nil
}

// ProcessAlive reports whether the process's heartbeat is younger than hook.DeadAfter.
func (s *Store) ProcessAlive(ctx context.Context, id hook.ProcessID) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failing(ctx, OpAlive); err != nil {
		return false, err
	}
	last, ok := s.processes[id]
	return ok && s.now().Sub(last) < hook.DeadAfter, nil
}
