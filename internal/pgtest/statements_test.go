//go:build unix

package pgtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/pgtest"
)

// prepared is how many statements with a text the server has made for the session, in all sessions with it.
const prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1"

// The next client need not have its statements planned again, and doesn't notice.
func TestStatementsStayWithTheConnection(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t, pgtest.Template{Key: t.Name()})
	const sum, wrong = "SELECT $1::int + $2::int", "SELECT $1::int + no_such_column"
	use := func(conn *pgx.Conn) {
		require.Equal(t, 5, value[int](t, conn, sum, 2, 3))
		_, err := conn.Exec(t.Context(), wrong, 1)
		require.ErrorContains(t, err, "no_such_column")
		// One round trip with several statements, one of them in error: pgx closes all of them then.
		b := &pgx.Batch{}
		b.Queue(sum, 1, 1)
		b.Queue("SELECT 1 / $1::int", 0)
		b.Queue("SELECT $1::text", "skipped")
		require.ErrorContains(t, conn.SendBatch(t.Context(), b).Close(), "division by zero")
		require.Equal(t, 7, value[int](t, conn, sum, 3, 4))
		require.Equal(t, "x", value[string](t, conn, "SELECT $1::text", "x"))
	}
	before, after, conn := afterwards(t, url, use)
	require.Equal(t, before, after)
	require.Equal(t, 1, value[int](t, conn, prepared, sum), "it is there before the client uses it")
	require.Zero(t, value[int](t, conn, prepared, wrong))
	use(conn)
	require.Equal(t, 1, value[int](t, conn, prepared, sum))
}

// A statement that a client has closed or changed is never taken for the one that the next client means.
func TestStatementsThatChange(t *testing.T) {
	t.Parallel()
	const things, names = "SELECT * FROM things WHERE id > $1::int", "mine"
	count := func(t *testing.T, conn *pgx.Conn) (columns int) {
		t.Helper()
		rows, err := conn.Query(t.Context(), things, 0)
		require.NoError(t, err)
		columns = len(rows.FieldDescriptions())
		rows.Close()
		require.NoError(t, rows.Err())
		return columns
	}
	for name, change := range map[string]func(t *testing.T, conn *pgx.Conn){
		"closed": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			require.NoError(t, conn.DeallocateAll(t.Context()))
			require.Equal(t, 1, count(t, conn))
		},
		"all discarded": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), "discard all")
			require.NoError(t, err)
		},
		"prepared under another's name": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Prepare(t.Context(), names, "SELECT 1")
			require.NoError(t, err)
		},
		"of another shape": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), "ALTER TABLE things ADD COLUMN x int")
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t, pgtest.Template{Key: t.Name(), Migrate: func(ctx context.Context, url string) error {
				conn, err := pgx.Connect(ctx, url)
				if err != nil {
					return err
				}
				defer conn.Close(ctx) //nolint:errcheck // the statement's error says more
				_, err = conn.Exec(ctx, "CREATE TABLE things (id int PRIMARY KEY)")
				return err
			}})
			before, after, conn := afterwards(t, url, func(conn *pgx.Conn) {
				require.Equal(t, 1, count(t, conn))
				change(t, conn)
			})
			require.Equal(t, before, after)
			_, err := conn.Prepare(t.Context(), names, "SELECT 2")
			require.NoError(t, err)
			columns := 1
			if name == "of another shape" {
				columns = 2
			}
			require.Equal(t, columns, count(t, conn))
		})
	}
}
