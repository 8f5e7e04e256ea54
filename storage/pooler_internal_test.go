package storage

import (
	"context"
	"encoding/base64"
	"maps"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/internal/secrets"
)

// Without a pooler, none is detected: statements keep their names and plans.
func TestWithoutPoolerPlansAreKept(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t, Template)
	box, err := secrets.New(base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	for mode, named := range map[string]int{"": 1, "cache_statement": 1, "exec": 0} {
		if mode != "" {
			mode = "&default_query_exec_mode=" + mode
		}
		s, err := Open(t.Context(), Config{URL: url + mode, Box: box})
		require.NoError(t, err)
		t.Cleanup(s.Close)
		require.NoError(t, pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
			var one int
			require.NoError(t, tx.QueryRow(t.Context(), `select $1::int`, 1).Scan(&one))
			var n int
			var plans string
			require.NoError(t, tx.QueryRow(t.Context(), `
				select count(*), current_setting('plan_cache_mode') from pg_prepared_statements where statement = 'select $1::int'`).Scan(&n, &plans))
			require.Equal(t, named, n, mode)
			require.Equal(t, "force_generic_plan", plans, mode)
			return nil
		}))
	}
}

// A connection fails only if it was opened for a server and there is a pooler by then. The next connection is
// opened for the pooler.
func TestPoolerThatComesLater(t *testing.T) {
	t.Parallel()
	p := &pooler{}
	c := &pgx.ConnConfig{DefaultQueryExecMode: pgx.QueryExecModeCacheStatement}
	p.asked.Store(true)
	require.NoError(t, p.beforeConnect(t.Context(), c))
	require.Equal(t, pgx.QueryExecModeCacheStatement, c.DefaultQueryExecMode)
	p.between.Store(true)
	require.NoError(t, p.beforeConnect(t.Context(), c))
	require.Equal(t, pgx.QueryExecModeCacheDescribe, c.DefaultQueryExecMode)
	chosen := &pgx.ConnConfig{DefaultQueryExecMode: pgx.QueryExecModeExec}
	require.NoError(t, (&pooler{chosen: true}).beforeConnect(t.Context(), chosen))
	require.Equal(t, pgx.QueryExecModeExec, chosen.DefaultQueryExecMode)
}

// newStore returns a store on a database of the test's own with the given settings.
func newStore(t *testing.T, alter ...string) *Store {
	t.Helper()
	url := pgtest.New(t, Template)
	admin, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer admin.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is left to do
	for _, setting := range alter {
		_, err := admin.Exec(t.Context(), `do $$ begin execute format('alter database %I `+setting+`', current_database()); end $$`)
		require.NoError(t, err)
	}
	box, err := secrets.New(base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	s, err := Open(t.Context(), Config{URL: url, Box: box})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// Design, "Shared statements": every session has these settings, so that the locks of a process that hangs are
// released soon.
func TestSessionSettings(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	conn, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	want := map[string]string{
		"plan_cache_mode": "force_generic_plan", "jit": "off", "max_parallel_workers_per_gather": "0",
		"lock_timeout": "2s", "idle_in_transaction_session_timeout": "15s",
		"tcp_user_timeout": "30s", "tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	}
	if conn.Conn().PgConn().Conn().RemoteAddr().Network() == "unix" || runtime.GOOS != "linux" {
		maps.DeleteFunc(want, func(name, _ string) bool { return strings.HasPrefix(name, "tcp") }) // this system has none
	}
	require.Len(t, sessionSettings(), 9)
	for name, value := range want {
		var got string
		require.NoError(t, conn.QueryRow(t.Context(), `select current_setting($1)`, name).Scan(&got))
		require.Equal(t, value, got, name)
	}
}

// A query over a month of days with few outstanding deliveries uses neither JIT nor parallel workers, however
// expensive the planner estimates it.
func TestPlansAreNeitherCompiledNorParallel(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	s := newStore(t, `set jit = on`, `set jit_above_cost = 0`, `set jit_optimize_above_cost = 0`, `set jit_inline_above_cost = 0`,
		`set parallel_setup_cost = 0`, `set parallel_tuple_cost = 0`, `set min_parallel_table_scan_size = 0`, `set min_parallel_index_scan_size = 0`)
	rows, err := s.pool.Query(t.Context(), `
		explain (analyze, costs off) select d.id from deliveries d where d.next_attempt_at < now() - interval '1 hour' order by d.next_attempt_at, d.id limit 500`)
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, line := range plan {
		require.NotContains(t, line, "JIT")
		require.NotContains(t, line, "Gather")
	}
}

// A process that hangs in a transaction loses its locks, and the message that waited for them is stored.
func TestFrozenInATransaction(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	s := newStore(t)
	p := hook.Publication{TenantID: hook.DefaultTenant(), Cache: "chat", Type: "room", Data: []byte(`"x"`)}
	_, err := s.Publish(t.Context(), p)
	require.NoError(t, err)
	other, err := Open(t.Context(), Config{URL: s.pool.Config().ConnString(), Box: s.box})
	require.NoError(t, err)
	t.Cleanup(other.Close)
	tx, err := other.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	// The process hangs in the middle of a publish. The store's own session setting is 15 s.
	_, err = tx.Exec(t.Context(), `select from topics for update`)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `set idle_in_transaction_session_timeout = '3s'`)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := s.Publish(t.Context(), p)
		return err == nil
	}, time.Minute, time.Millisecond)
}

// A session that has become read-only, because its primary is a standby now, is not used again.
func TestReadOnlySessionIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t, `set default_transaction_read_only = on`)
	p := hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`{}`)}
	keyed := p
	keyed.IdempotencyKey = "order-1"
	for _, p := range []hook.Publication{p, keyed} { // the first in one statement, the second in a transaction
		_, err := s.Publish(t.Context(), p)
		require.Equal(t, hook.KindUnavailable, hook.KindOf(err))
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "25006", pg.Code)
	}
	require.NoError(t, pgx.BeginTxFunc(t.Context(), s.pool, pgx.TxOptions{AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `do $$ begin execute format('alter database %I reset all', current_database()); end $$`)
		return err
	}))
	// The connection that got the setting is still read-only.
	_, _ = s.Publish(t.Context(), p)
	_, err := s.Publish(t.Context(), p)
	require.NoError(t, err)
}

// A dead connection is detected, even if nothing is sent on it.
func TestConnectionsAreKeptAlive(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() //nolint:errcheck // nothing is left to do
	config, err := pgx.ParseConfig("postgres://u@" + l.Addr().String() + "/d?sslmode=disable&connect_timeout=7")
	require.NoError(t, err)
	withDefaults(config)
	conn, err := config.DialFunc(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, 7*time.Second, config.ConnectTimeout)
	if runtime.GOOS != "linux" {
		t.Skip("the options' numbers are Linux's")
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		for option, want := range map[int]int{tcpKeepIdle: 15, tcpKeepInterval: 5, tcpKeepCount: 3} {
			got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}))
}

// Values of Linux.
const (
	tcpKeepIdle     = 4
	tcpKeepInterval = 5
	tcpKeepCount    = 6
)
