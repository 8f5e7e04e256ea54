package storage

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/pgtest"
	"grapnel/internal/seal"
)

// Where there is no pooler, none is seen: statements keep their names and plans.
func TestWithoutPoolerPlansAreKept(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t, pgtest.Template{
		Key: MigrationsKey(), Migrate: func(ctx context.Context, url string) error { _, err := Migrate(ctx, url); return err },
	})
	box, err := seal.New(base64.StdEncoding.EncodeToString(make([]byte, seal.KeySize)))
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

// The one case where a connection can't be used: it was opened for a server, and there
// is a pooler by then. The next one knows.
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
