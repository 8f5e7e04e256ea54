package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/wait"
)

// insistOn repeats an operation on PostgreSQL until it succeeds, because another strike may interrupt it.
func (s *crashStack) insistOn(ctx context.Context, databaseURL string, do func(*pgx.Conn) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := stack.OnDatabase(attempt, databaseURL, do)
		cancel()
		if err == nil {
			return nil
		}
		if wait.For(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}

// execute runs all statements and repeats them until they succeed.
func (s *crashStack) execute(ctx context.Context, statements ...string) error {
	return s.insistOn(ctx, s.PostgresURL, func(conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// answered waits until PostgreSQL answers.
func (s *crashStack) answered(ctx context.Context) error { return s.execute(ctx, `select 1`) }

// killBackend kills the process of one PostgreSQL session. PostgreSQL then ends all sessions and recovers.
func (s *crashStack) killBackend(ctx context.Context, st *Strike) (int, error) {
	var pid int
	err := s.insistOn(ctx, s.PostgresURL, func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() order by pid`)
		pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil || len(pids) == 0 {
			return errors.Join(err, errors.New("no backends"))
		}
		pid = pids[st.Choose(len(pids))]
		return syscall.Kill(pid, syscall.SIGKILL)
	})
	if err != nil {
		return 0, err
	}
	return 1, s.answered(ctx)
}

// stopPostgres shuts PostgreSQL down without a checkpoint and starts it again.
func (s *crashStack) stopPostgres(ctx context.Context, st *Strike) (int, error) {
	s.postgresDown.Lock()
	defer s.postgresDown.Unlock()
	server := s.Postgres
	if err := syscall.Kill(server.PID(), syscall.SIGQUIT); err != nil {
		return 0, fmt.Errorf("shut PostgreSQL down: %w", err)
	}
	<-server.Done()
	if err := server.Stop(ctx); err != nil { // cleans up after the server
		return 1, err
	}
	if err := wait.For(ctx, st.For); err != nil {
		return 1, err
	}
	if err := s.LaunchPostgres(ctx); err != nil {
		return 1, err
	}
	return 1, s.answered(ctx)
}

// fillConnections takes all connections that PostgreSQL allows, ends Grapnel's sessions, and holds the connections
// for a while.
func (s *crashStack) fillConnections(ctx context.Context, st *Strike) error {
	var taken []*pgx.Conn
	defer func() {
		for _, conn := range taken {
			_ = conn.Close(context.WithoutCancel(ctx)) // PostgreSQL may have ended it
		}
	}()
	take := func() {
		for ctx.Err() == nil {
			conn, err := pgx.Connect(ctx, s.PostgresURL)
			var pg *pgconn.PgError
			if err != nil && errors.As(err, &pg) && pg.Code == "53300" {
				return // too_many_connections: none are left
			}
			if err != nil {
				return // another strike is in progress
			}
			taken = append(taken, conn)
		}
	}
	take()
	if len(taken) > 0 {
		_, _ = taken[0].Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'grapnel'`) // another strike may have ended it
	}
	until := time.Now().Add(st.For)
	for time.Now().Before(until) {
		take()
		if err := wait.For(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// fillDisk makes PostgreSQL refuse every write of Grapnel's with the error of a full disk, and later accept writes
// again.
func (s *crashStack) fillDisk(ctx context.Context, st *Strike) error {
	tables := []string{
		"events", "deliveries", "attempts", "outbox", "topics", "idempotency_keys", "shared_workflows", "webhooks",
		"event_references", "usage_deltas", "tenant_usage", "audit_log", "stats",
	}
	full := []string{`
		create or replace function disk_full() returns trigger language plpgsql as $$
		begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`}
	for _, table := range slices.Sorted(slices.Values(tables)) {
		full = append(full, `create or replace trigger disk_full before insert or update on `+table+` for each statement execute function disk_full()`)
	}
	err := s.execute(ctx, full...)
	if err == nil {
		err = wait.For(ctx, st.For)
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), stack.ReadyTime)
	defer cancel()
	return errors.Join(err, s.execute(clean, `drop function if exists disk_full cascade`))
}

// loseTemporal kills Temporal and drops all its data: workflows, timers, history.
func (s *crashStack) loseTemporal(ctx context.Context, st *Strike) (int, error) {
	for {
		await, hit := s.temporal.Signal(syscall.SIGKILL, func(ctx context.Context) error {
			return errors.Join(s.execute(ctx, `drop database if exists temporal with (force)`, `drop database if exists temporal_visibility with (force)`), wait.For(ctx, st.For))
		})
		if err := await(ctx); err != nil {
			return 0, err
		}
		if hit {
			return 1, nil
		}
	} // it was down already and is up again
}
