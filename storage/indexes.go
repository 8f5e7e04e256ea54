package storage

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// dayIndex is a migration that adds an index to a large table, usually one that is partitioned by day. In one statement, that would block all
// writers while every day is read. So the parent gets the index alone, and days created from then on have it from the
// start; each existing partition gets it concurrently, and the index is attached.
type dayIndex struct {
	version int64
	name    string
	table   string
	// on are the indexed columns, and where is the condition for a row to be in the index; "" is every row.
	on, where string
	// plain says that the table has no partitions. It gets the index in one piece, concurrently.
	plain bool
	// before are files of migrations/before that are run first, each in a transaction of its own. They can be repeated.
	before []string
	// down is the file that undoes them; "" is none.
	down string
}

func dayIndexes() []dayIndex {
	return []dayIndex{
		// For a log's filter by status, newest first. It has few deliveries: those that succeed, or are still to be
		// tried, write nothing to it.
		{22, "deliveries_by_state", "deliveries", "webhook_id, state, id desc", "state in ('failed', 'timed_out', 'dropped', 'canceled')", false, nil, ""},
		// For the outstanding deliveries of a webhook, newest first. It replaces deliveries_outstanding (00024), and
		// costs as much.
		{23, "deliveries_waiting", "deliveries", "webhook_id, id desc", "next_attempt_at is not null", false, nil, ""},
		// For a tenant's deliveries that have not succeeded, newest first (A2). A delivery is in it from its accept until
		// it succeeds: a success writes nothing to it.
		{33, "deliveries_unsuccessful", "deliveries", "tenant_id, state, id desc", "state <> 'success'", false, []string{
			"00033_1_references.sql", "00033_2_days.sql", "00033_3_history.sql",
		}, "00033_down.sql"},
		// For the topics of a tenant that is being deleted (K8). There may be millions of all tenants.
		{36, "topics_of_tenant", "topics", "tenant_id", "", true, []string{"00036_1_life.sql"}, "00036_down.sql"},
		// For the deliveries of all tenants that have not succeeded, newest first (K4). As deliveries_by_state, it has few
		// of them: the accept and a success write nothing to it.
		{38, "deliveries_failed", "deliveries", "state, id desc", "state in ('failed', 'timed_out', 'dropped', 'canceled')", false, nil, ""},
		// For the events of all tenants with a reference, newest first (K4). Events without references write nothing to it.
		{38, "event_references_all", "event_references", "reference, event_id desc", "", false, nil, ""},
	}
}

// condition returns the end of the statement that creates the index.
func (x *dayIndex) condition() string {
	if x.where == "" {
		return ""
	}
	return " where " + x.where
}

// goMigrations returns the migrations that are not SQL files.
func (m *Migrator) goMigrations() []*goose.Migration {
	var list []*goose.Migration
	for _, indexes := range byVersion(dayIndexes()) {
		list = append(list, goose.NewGoMigration(indexes[0].version,
			&goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				for _, x := range indexes {
					if err := m.createIndex(ctx, db, x); err != nil {
						return err
					}
				}
				return nil
			}},
			&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				for _, x := range indexes {
					if err := x.drop(ctx, tx); err != nil {
						return err
					}
				}
				return nil
			}},
		))
	}
	return list
}

// byVersion groups the indexes of each migration, which are beside each other.
func byVersion(list []dayIndex) (groups [][]dayIndex) {
	for i := range list {
		if i == 0 || list[i].version != list[i-1].version {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], list[i])
	}
	return groups
}

func (x *dayIndex) drop(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, `drop index if exists `+x.name); err != nil || x.down == "" {
		return err
	}
	text, err := before.ReadFile("migrations/before/" + x.down)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, string(text), pgx.QueryExecModeSimpleProtocol)
	return err
}

// createIndex creates the missing parts of the index. It may be interrupted anywhere, and repeated.
func (m *Migrator) createIndex(ctx context.Context, db *sql.DB, x dayIndex) error {
	for _, name := range x.before {
		text, err := before.ReadFile("migrations/before/" + name)
		if err != nil {
			return err
		}
		if err := withShortLock(ctx, db, string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if x.plain {
		if err := m.createConcurrently(ctx, db, &x, x.name, x.table); err != nil {
			return fmt.Errorf("index %s: %w", x.name, err)
		}
		return nil
	}
	err := withShortLock(ctx, db, fmt.Sprintf(`create index if not exists %s on only %s (%s)%s`, x.name, x.table, x.on, x.condition()))
	if err != nil {
		return fmt.Errorf("index %s: %w", x.name, err)
	}
	for {
		partition, err := x.next(ctx, db)
		if err != nil {
			return fmt.Errorf("index %s: %w", x.name, err)
		}
		if partition == "" {
			return nil
		}
		begun := time.Now()
		if err := m.createOnPartition(ctx, db, x, partition); err != nil && !isGone(err) {
			return fmt.Errorf("index %s of %s: %w", x.name, partition, err)
		}
		m.log().InfoContext(ctx, "index made", slog.String("index", x.name), slog.String("partition", partition), slog.Duration("took", time.Since(begun)))
	}
}

// isGone reports whether the day was dropped meanwhile.
func isGone(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "42704") // undefined_table, undefined_object: its index
}

// next returns a partition without the index, "" if all have it.
func (x *dayIndex) next(ctx context.Context, db *sql.DB) (partition string, err error) {
	err = db.QueryRowContext(ctx, `
		select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = $1::regclass and not exists (
			select from pg_inherits a join pg_index p on p.indexrelid = a.inhrelid
			where a.inhparent = $2::regclass and p.indrelid = c.oid)
		order by c.relname desc limit 1`, x.table, x.name).Scan(&partition)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return partition, err
}

// createConcurrently gives a table or a partition the index, under a name. An invalid index was left by a process that was
// killed, and is replaced.
func (m *Migrator) createConcurrently(ctx context.Context, db *sql.DB, x *dayIndex, name, table string) error {
	var valid sql.NullBool
	err := db.QueryRowContext(ctx, `select (select indisvalid from pg_index where indexrelid = to_regclass($1))`, name).Scan(&valid)
	if err != nil || valid.Bool {
		return err
	}
	return m.withoutTimeouts(ctx, db,
		`drop index concurrently if exists `+pgx.Identifier{name}.Sanitize(),
		fmt.Sprintf(`create index concurrently %s on %s (%s)%s`, pgx.Identifier{name}.Sanitize(), pgx.Identifier{table}.Sanitize(), x.on, x.condition()))
}

// createOnPartition gives a partition the index.
func (m *Migrator) createOnPartition(ctx context.Context, db *sql.DB, x dayIndex, partition string) error {
	name := partition + "_" + x.name
	if err := m.createConcurrently(ctx, db, &x, name, partition); err != nil {
		return err
	}
	return withShortLock(ctx, db, fmt.Sprintf(`alter index %s attach partition %s`, x.name, pgx.Identifier{name}.Sanitize()))
}

// withShortLock runs a statement, or several, behind which publishes wait.
func withShortLock(ctx context.Context, db *sql.DB, statement string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, sql := range []string{`set local lock_timeout = '2s'`, statement} {
		if _, err := tx.ExecContext(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// withoutTimeouts runs statements behind which nobody waits, and which can't run in a transaction. They wait for all
// earlier transactions to end, and take time in proportion to the table: so the role's time-outs are lifted if the
// session is ours. Behind a connection pooler they apply.
func (m *Migrator) withoutTimeouts(ctx context.Context, db *sql.DB, statements ...string) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	pooled := false
	err = conn.Raw(func(c any) (err error) {
		pooled, err = isPooled(ctx, c.(*stdlib.Conn).Conn())
		return err
	})
	if err != nil {
		return err
	}
	if !pooled {
		patience := cmp.Or(m.Patience, defaultPatience).Milliseconds()
		if _, err := conn.ExecContext(ctx, fmt.Sprintf(`set statement_timeout = 0; set lock_timeout = %d`, patience), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		defer func() {
			_, failed := conn.ExecContext(context.WithoutCancel(ctx), `reset statement_timeout; reset lock_timeout`, pgx.QueryExecModeSimpleProtocol)
			err = errors.Join(err, failed)
		}()
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
