//go:build unix

package pgtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/pgtest"
	"grapnel/internal/wait"
)

// afterwards ends a connection and returns a new one. It is the same to the server if it was kept.
func afterwards(t *testing.T, url string, use func(conn *pgx.Conn)) (before, after int, conn *pgx.Conn) {
	t.Helper()
	if !pgtest.Keeps() {
		t.Skip("connections are kept only to the server that pgtest starts")
	}
	first, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	before = value[int](t, first, "SELECT pg_backend_pid()")
	use(first)
	_ = first.Close(context.WithoutCancel(t.Context())) // it may be broken
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for pgtest.Sessions(first.Config().Database) > 0 {
		require.NoError(t, wait.For(ctx, time.Millisecond))
	}
	conn = connect(t, url)
	return before, value[int](t, conn, "SELECT pg_backend_pid()"), conn
}

func TestAConnectionIsUsedAgainWithoutItsState(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t, pgtest.Template{})
	before, after, conn := afterwards(t, url, func(conn *pgx.Conn) {
		for _, sql := range []string{
			"SET statement_timeout = 1234", "SET timezone = 'Asia/Tokyo'", "CREATE TEMP TABLE mine ()", "LISTEN news",
			"SELECT pg_advisory_lock(7)", "PREPARE mine AS SELECT 1",
		} {
			_, err := conn.Exec(t.Context(), sql)
			require.NoError(t, err, sql)
		}
	})
	require.Equal(t, before, after)
	require.Equal(t, "0", value[string](t, conn, "SHOW statement_timeout"))
	require.Equal(t, "UTC", value[string](t, conn, "SHOW timezone"))
	for _, sql := range []string{
		"SELECT count(*) FROM pg_class WHERE relname = 'mine'", "SELECT count(*) FROM pg_listening_channels()",
		"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
		"SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'",
	} {
		require.Zero(t, value[int](t, conn, sql), sql)
	}
}

func TestAConnectionThatIsNotAsNewEnds(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(t *testing.T, conn *pgx.Conn){
		"in a transaction": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Begin(t.Context())
			require.NoError(t, err)
		},
		"canceled": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err := conn.Exec(ctx, "SELECT pg_sleep(60)")
			require.Error(t, err)
		},
		"in a copy": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), "CREATE TEMP TABLE mine (id int)")
			require.NoError(t, err)
			_, err = conn.PgConn().Conn().Write([]byte("Q\x00\x00\x00\x19COPY mine FROM STDIN\x00"))
			require.NoError(t, err)
		},
		"terminated": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
			require.Error(t, err)
		},
		"with settings of the database": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END $$`)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t, pgtest.Template{})
			before, after, _ := afterwards(t, url, func(conn *pgx.Conn) { use(t, conn) })
			require.NotEqual(t, before, after)
		})
	}
}

// A connection that begins with settings of its own is never another's.
func TestConnectionsWithOtherSettingsAreApart(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t, pgtest.Template{})
	_, _, conn := afterwards(t, url+"&statement_timeout=1234", func(*pgx.Conn) {})
	require.Equal(t, "1234ms", value[string](t, conn, "SHOW statement_timeout"))
	require.Equal(t, "0", value[string](t, connect(t, url), "SHOW statement_timeout"))
}
