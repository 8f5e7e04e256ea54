//go:build unix

package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return conn
}

func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// migrate makes one table and counts its calls.
func migrate(calls *atomic.Int32) func(context.Context, string) error {
	return func(ctx context.Context, url string) error {
		calls.Add(1)
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE TABLE things (id int PRIMARY KEY)")
		return errors.Join(err, conn.Close(ctx))
	}
}

func TestNewGivesEachTestItsOwnMigratedDatabase(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	tmpl := pgtest.Template{Key: t.Name(), Migrate: migrate(&calls)}
	t.Run("group", func(t *testing.T) {
		t.Parallel()
		for i := range 8 {
			t.Run(fmt.Sprintf("copy %d", i), func(t *testing.T) {
				t.Parallel()
				conn := connect(t, pgtest.New(t, tmpl))
				_, err := conn.Exec(t.Context(), "INSERT INTO things VALUES (1)")
				require.NoError(t, err)
				require.Equal(t, 1, value[int](t, conn, "SELECT count(*) FROM things"))
			})
		}
	})
	t.Cleanup(func() { require.EqualValues(t, 1, calls.Load()) })
}

// inner runs change on the database of a subtest and returns the database's name.
func inner(t *testing.T, tmpl pgtest.Template, change func(t *testing.T, conn *pgx.Conn)) (name string) {
	t.Helper()
	require.True(t, t.Run("inner", func(t *testing.T) {
		conn := connect(t, pgtest.New(t, tmpl))
		name = value[string](t, conn, "SELECT current_database()")
		change(t, conn)
	}))
	return name
}

// withRows returns a template with a table that has a row, an empty one that refers to it, and a sequence.
func withRows(t *testing.T) pgtest.Template {
	t.Helper()
	return pgtest.Template{Key: t.Name(), Migrate: func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `
			CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things VALUES (7);
			CREATE TABLE parts (thing int REFERENCES things); CREATE SEQUENCE numbers`)
		return errors.Join(err, conn.Close(ctx))
	}}
}

func TestADatabaseIsUsedAgainWithoutTheRows(t *testing.T) { //nolint:paralleltest // as in inner
	tmpl := withRows(t)
	fill := func(t *testing.T, conn *pgx.Conn) {
		t.Helper()
		require.Equal(t, 7, value[int](t, conn, "SELECT min(id) FROM things WHERE id >= 7"))
		require.Equal(t, 1, value[int](t, conn, "SELECT count(*) FROM things"))
		require.Zero(t, value[int](t, conn, "SELECT count(*) FROM parts"))
		_, err := conn.Exec(t.Context(), "INSERT INTO parts VALUES (7); INSERT INTO things VALUES (1); DELETE FROM parts; DELETE FROM things WHERE id = 7; INSERT INTO parts VALUES (1)")
		require.NoError(t, err)
	}
	first := inner(t, tmpl, fill)
	require.Equal(t, first, inner(t, tmpl, fill))
	require.Equal(t, first, inner(t, tmpl, fill))
}

func TestADatabaseOfAnotherShapeIsDropped(t *testing.T) { //nolint:paralleltest // as in inner
	longtest.Only(t)
	outer := connect(t, pgtest.New(t, pgtest.Template{}))
	tmpl := withRows(t)
	for _, sql := range []string{
		"CREATE TABLE more ()", "DROP TABLE parts", "ALTER TABLE things ADD COLUMN x int", "CREATE INDEX ON parts (thing)", "TRUNCATE parts",
		"ALTER TABLE parts SET (fillfactor = 50)", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE SCHEMA s",
		"ANALYZE things", "VACUUM things", "SELECT nextval('numbers')", "INSERT INTO parts SELECT 7 FROM generate_series(1, 200000)",
	} {
		name := inner(t, tmpl, func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), sql)
			require.NoError(t, err)
		})
		require.Zero(t, value[int](t, outer, "SELECT count(*) FROM pg_database WHERE datname = $1", name), sql)
	}
	name := inner(t, tmpl, func(t *testing.T, conn *pgx.Conn) {
		t.Helper()
		_, err := conn.Exec(t.Context(), "ALTER DATABASE "+value[string](t, conn, "SELECT current_database()")+" SET work_mem = '5MB'")
		require.NoError(t, err)
	})
	require.Zero(t, value[int](t, outer, "SELECT count(*) FROM pg_database WHERE datname = $1", name))
}

// A connection that a test leaks could change the next test's data.
func TestADatabaseWithAConnectionIsDropped(t *testing.T) { //nolint:paralleltest // as in inner
	longtest.Only(t)
	tmpl := withRows(t)
	var leaked *pgx.Conn
	name := inner(t, tmpl, func(t *testing.T, conn *pgx.Conn) {
		t.Helper()
		var err error
		leaked, err = pgx.ConnectConfig(context.WithoutCancel(t.Context()), conn.Config())
		require.NoError(t, err)
	})
	require.Error(t, leaked.Ping(t.Context()), "its database is gone")
	require.NotEqual(t, name, inner(t, tmpl, func(*testing.T, *pgx.Conn) {}))
}

func TestNewUsesFastSettings(t *testing.T) {
	t.Parallel()
	conn := connect(t, pgtest.New(t, pgtest.Template{}))
	require.Equal(t, "UTF8", value[string](t, conn, "SHOW server_encoding"))
	require.Equal(t, "UTC", value[string](t, conn, "SHOW timezone"))
	require.Equal(t, "C", value[string](t, conn,
		"SELECT datcollate FROM pg_database WHERE datname = current_database()"))
}
