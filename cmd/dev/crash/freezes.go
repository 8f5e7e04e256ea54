package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/wait"
)

// loseNamespace deletes Temporal's namespace by its API and registers it again later, like an operator who starts
// with an empty Temporal.
func (s *crashStack) loseNamespace(ctx context.Context, st *Strike) error {
	if err := stack.DeleteNamespace(ctx, s.TemporalAddr); err != nil {
		return err
	}
	return errors.Join(st.Hold(ctx, Target{}), stack.RegisterNamespace(ctx, s.TemporalAddr))
}

// stopTemporal stops the Temporal server for a while (SIGSTOP).
func (s *crashStack) stopTemporal(ctx context.Context, st *Strike) error {
	pid := s.temporal.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop Temporal: %w", err)
	}
	if err := errors.Join(st.Hold(ctx, Target{}), syscall.Kill(pid, syscall.SIGCONT)); err != nil {
		return err
	}
	c, err := stack.TemporalClient(s.TemporalAddr)
	if err != nil {
		return err
	}
	defer c.Close()
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return stack.AwaitNamespace(limited, c)
}

// cutTemporal cuts the first API off from Temporal.
func (s *crashStack) cutTemporal(ctx context.Context, st *Strike) error {
	fault := []Fault{Stall, Reset}[st.Stage]
	s.toTemporal.Set(fault)
	defer s.toTemporal.Set(Pass)
	return st.Hold(ctx, Target{API: s.urls()[0]})
}

// freeze stops an API or a worker with SIGSTOP, if possible in the middle of a transaction that has written, and
// preferably in one that has locked a topic's row, which others need.
func (s *crashStack) freeze(ctx context.Context, st *Strike) error {
	list, tries := s.apis, 100
	if st.Stage == FreezeWorker {
		list, tries = s.workers, 50
	}
	c := list[st.Choose(len(list))]
	target := Target{Note: c.Name() + " stood still, in no transaction"}
	if c.APIAddr != "" {
		target.API = "http://" + c.APIAddr
	}
	stirring, cancel := context.WithCancel(ctx)
	defer cancel()
	if st.Stir != nil {
		stirred := make(chan struct{})
		go func() {
			defer close(stirred)
			st.Stir(stirring, target.API)
		}()
		defer func() { <-stirred }()
		defer cancel()
	}
	pid := c.PID()
	written, err := s.stopInAnyTransaction(ctx, pid, tries)
	if len(written) > 0 {
		target.Note = c.Name() + " stood still in the middle of a transaction that had written to " + strings.Join(written, " or ")
	}
	cancel()
	if err == nil {
		s.Progress("%s", target.Note)
		err = st.Hold(ctx, target)
	}
	if err := errors.Join(err, syscall.Kill(pid, syscall.SIGCONT)); err != nil {
		return err
	}
	return s.awaitAnswer(ctx, c)
}

// awaitAnswer waits until a process answers.
func (s *crashStack) awaitAnswer(ctx context.Context, c *stack.ChildProcess) error {
	for !c.Answers(ctx) {
		if wait.For(ctx, stack.PollInterval) != nil {
			return fmt.Errorf("%s did not answer again: see %s", c.Name(), s.State.Path(c.Name()+".log"))
		}
	}
	return nil
}

// stallOwner stops a process that makes first attempts with SIGSTOP, and continues it when its lease has lapsed.
func (s *crashStack) stallOwner(ctx context.Context, st *Strike) error {
	c := s.apis[st.Choose(len(s.apis))]
	target := Target{API: "http://" + c.APIAddr, Note: c.Name() + " stood still"}
	if err := st.Occupy(ctx, target.API); err != nil {
		return err
	}
	pid := c.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	if err := errors.Join(st.Hold(ctx, target), syscall.Kill(pid, syscall.SIGCONT)); err != nil {
		return err
	}
	return s.awaitAnswer(ctx, c)
}

// stopInAnyTransaction stops a process, preferably in a transaction that has locked a topic's row. It returns the tables
// to one of which the transaction has written, or none if no transaction was met.
func (s *crashStack) stopInAnyTransaction(ctx context.Context, pid, tries int) (written []string, err error) {
	for _, tables := range [][]string{{"topics"}, {"events", "deliveries", "idempotency_keys", "webhooks", "outbox"}} {
		met, err := s.stopInTransaction(ctx, pid, tries, tables)
		switch {
		case err != nil:
			return nil, err
		case met:
			return tables, nil
		}
	}
	return nil, nil
}

// stopInTransaction stops a process and continues it, repeatedly, until it is stopped in the middle of a transaction
// that has written to one of the tables, or until the tries are used up. The process stays stopped.
func (s *crashStack) stopInTransaction(ctx context.Context, pid, tries int, tables []string) (met bool, err error) {
	for range tries {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return false, fmt.Errorf("stop process %d: %w", pid, err)
		}
		err := s.insistOn(ctx, s.PostgresURL, func(conn *pgx.Conn) error {
			met, err = stayInTransaction(ctx, conn, tables)
			return err
		})
		if err != nil || met {
			return met, err
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			return false, fmt.Errorf("let process %d go on: %w", pid, err)
		}
		if err := wait.For(ctx, 7*time.Millisecond); err != nil {
			return false, err
		}
	}
	return false, syscall.Kill(pid, syscall.SIGSTOP)
}

// stayInTransaction reports whether one of Grapnel's sessions that has written stays idle in a transaction. The
// sessions of running processes do not stay idle.
func stayInTransaction(ctx context.Context, conn *pgx.Conn, tables []string) (bool, error) {
	const looks, between = 4, 30 * time.Millisecond
	var still []string
	for i := range looks {
		rows, _ := conn.Query(ctx, `
			select a.pid || ' ' || a.state_change from pg_stat_activity a
			where application_name = 'grapnel' and state = 'idle in transaction' and backend_xid is not null and exists (
				select from pg_locks l where l.pid = a.pid and l.granted and l.mode = 'RowExclusiveLock' and l.relation = any($1::text[]::regclass[]))`, tables)
		now, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return false, err
		}
		if i > 0 {
			now = slices.DeleteFunc(now, func(session string) bool { return !slices.Contains(still, session) })
		}
		if still = now; len(still) == 0 {
			return false, nil
		}
		if err := wait.For(ctx, between); err != nil {
			return false, err
		}
	}
	return true, nil
}

// leap is how far LeapClock sets a clock ahead.
const leap = 100 * 24 * time.Hour

// leapClock sets an API's clock far ahead for a moment.
func (s *crashStack) leapClock(ctx context.Context, st *Strike) error {
	c := s.apis[st.Stage]
	pid := c.PID()
	if err := SetClock(pid, leap); err != nil {
		return err
	}
	return errors.Join(st.Hold(ctx, Target{API: "http://" + c.APIAddr}), SetClock(pid, 0))
}
