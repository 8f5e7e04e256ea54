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

func TestNewDropsTheDatabase(t *testing.T) { //nolint:tparallel // the inner test has to be over in time
	t.Parallel()
	outer := connect(t, pgtest.New(t, pgtest.Template{}))
	var name string
	t.Run("inner", func(t *testing.T) {
		conn := connect(t, pgtest.New(t, pgtest.Template{}))
		name = value[string](t, conn, "SELECT current_database()")
		require.Contains(t, name, "t_testnewdropsthedatabase_inner_")
	})
	require.Zero(t, value[int](t, outer, "SELECT count(*) FROM pg_database WHERE datname = $1", name))
}

func TestNewUsesFastSettings(t *testing.T) {
	t.Parallel()
	conn := connect(t, pgtest.New(t, pgtest.Template{}))
	require.Equal(t, "UTF8", value[string](t, conn, "SHOW server_encoding"))
	require.Equal(t, "UTC", value[string](t, conn, "SHOW timezone"))
	require.Equal(t, "C", value[string](t, conn,
		"SELECT datcollate FROM pg_database WHERE datname = current_database()"))
}
