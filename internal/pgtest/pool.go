//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/wait"
)

const (
	// leaveTime is how long a test's last connections may take to end.
	leaveTime = 2 * time.Second
	// leavePoll is the interval of checking for them.
	leavePoll = 2 * time.Millisecond
	// mostGrowth is by how many bytes a database may grow and still be reused: deleted rows stay in its files and
	// slow down queries.
	mostGrowth = 4 << 20
)

// errNotReusable means that a database can't be restored to its template's content.
var errNotReusable = errors.New("the test has changed more than rows")

// pool holds the databases of one template that tests have given back. Deleting a test's rows takes a tenth of the
// time of a new copy, which has some 500 files.
type pool struct {
	mu   sync.Mutex
	free []*database // guarded by mu
	// once guards pristine and err.
	once     sync.Once
	pristine *pristine
	err      error
}

// database is a copy of a template.
type database struct {
	url string
	// conn is pgtest's own connection, which restores the database. It stays open while tests use the database:
	// connecting takes longer than restoring.
	conn *pgx.Conn
	// keeper is nil if the tests' connections go to the server itself.
	keeper *keeper
}

// close closes the connection to the database.
func (d *database) close(ctx context.Context) {
	_ = d.conn.Close(ctx) // nothing to lose
	if d.keeper != nil {
		d.keeper.drop(d.conn.Config().Database)
	}
}

// take returns a database that is like the template; nil if there is none.
func (p *pool) take() *database {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return nil
	}
	d := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return d
}

// note reads the template's content from its first copy, before a test gets it.
func (p *pool) note(ctx context.Context, d *database) error {
	p.once.Do(func() { p.pristine, p.err = readPristine(ctx, d.conn) })
	return p.err
}

// giveBack restores a database for the next test, or returns why it can't.
func (p *pool) giveBack(ctx context.Context, d *database) error {
	if err := p.pristine.restore(ctx, d); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, d)
	return nil
}

// pristine is the content of a template.
type pristine struct {
	// catalog is a fingerprint of everything but rows.
	catalog string
	size    int64
	// rows are the rows of the tables that are not empty, as COPY writes them, by the table's name.
	rows map[string][]byte
}

// userTables selects the tables that may have rows, without partitioned ones.
const userTables = `pg_class c join pg_namespace n on n.oid = c.relnamespace
	where c.relkind = 'r' and n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'`

func readPristine(ctx context.Context, conn *pgx.Conn) (*pristine, error) {
	p := &pristine{rows: map[string][]byte{}}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if p.catalog, err = catalog(ctx, tx); err != nil {
		return nil, err
	}
	tables, size, err := filled(ctx, tx)
	if err != nil {
		return nil, err
	}
	p.size = size
	for _, table := range tables {
		var content bytes.Buffer
		if _, err := conn.PgConn().CopyTo(ctx, &content, "copy "+table+" to stdout"); err != nil {
			return nil, fmt.Errorf("copy table %s of a template: %w", table, err)
		}
		if content.Len() > 0 {
			p.rows[table] = content.Bytes()
		}
	}
	return p, nil
}

// filled returns the tables that have a row or had one, and the size of all. The others have no bytes.
func filled(ctx context.Context, tx pgx.Tx) (tables []string, size int64, err error) {
	rows, _ := tx.Query(ctx, `
		select name, bytes from (select c.oid::regclass::text as name, pg_relation_size(c.oid) as bytes from `+userTables+`) t
		where bytes > 0`)
	var name string
	var bytes int64
	_, err = pgx.ForEachRow(rows, []any{&name, &bytes}, func() error {
		tables, size = append(tables, name), size+bytes
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list the tables: %w", err)
	}
	return tables, size, nil
}

// catalog returns the fingerprint of everything but rows.
func catalog(ctx context.Context, tx pgx.Tx) (string, error) {
	// From here on, age() counts from this transaction.
	if _, err := tx.Exec(ctx, `select pg_current_xact_id()`); err != nil {
		return "", fmt.Errorf("read the transaction's number: %w", err)
	}
	var print string
	if err := tx.QueryRow(ctx, fingerprint).Scan(&print); err != nil {
		return "", fmt.Errorf("read the catalog: %w", err)
	}
	return print, nil
}

// restore deletes the rows that a test has left and restores the template's. It fails if another connection is
// open, or if more than rows has changed.
func (p *pristine) restore(ctx context.Context, d *database) error {
	if err := d.alone(ctx); err != nil {
		return err
	}
	conn := d.conn
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	now, err := catalog(ctx, tx)
	if err != nil {
		return err
	}
	tables, size, err := filled(ctx, tx)
	if err != nil {
		return err
	}
	if now != p.catalog || size > p.size+mostGrowth {
		return errNotReusable
	}
	// All at once. Each is prepared once in a connection.
	var deletes pgx.Batch
	for _, table := range tables {
		deletes.Queue("delete from only " + table)
	}
	if err := tx.SendBatch(ctx, &deletes).Close(); err != nil {
		return fmt.Errorf("delete the rows of a test: %w", err)
	}
	for table, content := range p.rows {
		if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(content), "copy "+table+" from stdin"); err != nil {
			return fmt.Errorf("copy table %s of the template back: %w", table, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// alone waits until the other connections to the database have ended, but for those that are kept: the test has closed
// its own, and they end within moments.
func (d *database) alone(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leaveTime, errNotReusable)
	defer cancel()
	for {
		kept, err := d.kept(ctx)
		if err != nil {
			return err
		}
		var others int
		err = d.conn.QueryRow(ctx, `
			select count(*) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and pid <> all ($1)`, kept).Scan(&others)
		if err != nil {
			return fmt.Errorf("look for other connections: %w", err)
		}
		if others == 0 {
			return nil
		}
		if err := wait.For(ctx, leavePoll); err != nil {
			return context.Cause(ctx)
		}
	}
}

// kept returns the process ids of the connections that are kept to the database, once no client has one.
func (d *database) kept(ctx context.Context) ([]int32, error) {
	if d.keeper == nil {
		return []int32{}, nil
	}
	return d.keeper.alone(ctx, d.conn.Config().Database)
}

// fingerprint changes if anything but rows was changed: the copies of a template have the same catalog rows, and a
// new or changed catalog row has a later transaction. The number of the latest transaction is this one's minus the age of
// the latest. A frozen row has the largest age.
const fingerprint = `
	select concat_ws(' ',
		(select concat_ws(' ', count(*), ` + latest + `, count(*) filter (where reltuples >= 0)) from pg_class),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_attribute),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_attrdef),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_constraint),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_index),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_inherits),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_proc),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_trigger),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_type),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_namespace),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_extension),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_policy),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_rewrite),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_statistic),
		(select concat_ws(' ', count(*), ` + latest + `) from pg_largeobject_metadata),
		(select count(*) from pg_db_role_setting where setdatabase = (select oid from pg_database where datname = current_database())),
		(select sum(last_value) from pg_sequences))`

// latest is the number of the transaction that has written the latest row of a catalog; null if all are frozen. A number
// in a text costs more than the row.
const latest = `(pg_current_xact_id()::text::bigint & 4294967295) - nullif(min(age(xmin)), 2147483647)`
