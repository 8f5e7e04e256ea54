package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"

	"grapnel/cmd/dev/stack"
)

// statementSettings returns the settings that make PostgreSQL count the cost of each statement. The extension is in
// Debian's postgresql package and in most others.
func statementSettings() map[string]string {
	return map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on"}
}

// countStatements starts counting the cost of statements, from zero.
func countStatements(ctx context.Context, databaseURL string) error {
	return stack.OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `create extension if not exists pg_stat_statements; select pg_stat_statements_reset()`)
		return err
	})
}

// writeStatements writes a table of the statements that took the most time, including those of Temporal's databases.
func writeStatements(ctx context.Context, databaseURL, file string) error {
	type statement struct {
		Database    string
		Calls       int64
		TotalMs     float64
		PlanMs      float64
		MeanMs      float64
		RowsPerCall float64
		Blocks      float64
		WALPerCall  float64
		Query       string
	}
	var found []statement
	err := stack.OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, `
			select d.datname as database, s.calls, s.total_exec_time as total_ms, s.total_plan_time as plan_ms, s.mean_exec_time as mean_ms,
				s.rows::float8 / s.calls as rows_per_call, (s.shared_blks_hit + s.shared_blks_read)::float8 / s.calls as blocks,
				s.wal_bytes::float8 / s.calls as wal_per_call, regexp_replace(s.query, '\s+', ' ', 'g') as query
			from pg_stat_statements s join pg_database d on d.oid = s.dbid
			where s.calls > 0 order by s.total_exec_time + s.total_plan_time desc limit 40`)
		var err error
		found, err = pgx.CollectRows(rows, pgx.RowToStructByName[statement])
		return err
	})
	if err != nil {
		return err
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "database\texecute ms\tplan ms\tcalls\tmean ms\trows\tblocks\tWAL bytes\tstatement")
	for i := range found {
		s := &found[i]
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%d\t%.3f\t%.1f\t%.0f\t%.0f\t%.160s\n",
			s.Database, s.TotalMs, s.PlanMs, s.Calls, s.MeanMs, s.RowsPerCall, s.Blocks, s.WALPerCall, s.Query)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return writeFile(file, b.String())
}
