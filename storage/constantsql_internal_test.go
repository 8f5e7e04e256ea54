package storage

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// A constant statement is rewritten as pgx rewrites it, at its first call and later.
func TestArgsOfConstant(t *testing.T) {
	t.Parallel()
	const sql = `select @b::int, '@c', @a, @b::text -- @d`
	for range 2 {
		for _, args := range []map[string]any{{"a": 1, "b": "x"}, {"a": nil, "b": []int{2}}} {
			wantSQL, wantArgs, err := pgx.StrictNamedArgs(args).RewriteQuery(t.Context(), nil, sql, nil)
			require.NoError(t, err)
			gotSQL, gotArgs, err := argsOfConstant(args).RewriteQuery(t.Context(), nil, sql, nil)
			require.NoError(t, err)
			require.Equal(t, wantSQL, gotSQL)
			require.Equal(t, wantArgs, gotArgs)
		}
		for _, args := range []argsOfConstant{{"a": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 1, "c": 1}} {
			_, _, err := args.RewriteQuery(t.Context(), nil, sql, nil)
			require.Error(t, err, args)
		}
	}
}
