package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"grapnel/internal/hook"
)

const (
	// maxRowsRead bounds how many rows a page reads. Rows that no index finds are found by reading one after the
	// other: a page that has read so many returns what it has found, and where to go on.
	maxRowsRead = 20_000
	// listTimeout bounds each of a page's two statements. Both have to fit into the time of a request.
	listTimeout = 4 * time.Second
)

// listing is a list of rows, newest first by id.
type listing struct {
	// table has the given alias, and columns are read from it.
	table, alias, columns string
	// join is joined with the rows read; empty is nothing.
	join string
	// within are conditions that an index covers in the order of ids; filter are conditions checked on each row.
	within, filter []string
	// args are the arguments of within; chosen are those of filter and columns.
	args, chosen pgx.StrictNamedArgs
	// measure is an expression that the columns can use as measured, beside the row's place in the page; empty is
	// none. It can't be combined with join.
	measure string
}

// ofTenants restricts the list to rows of the filter's tenants. The restriction is of the statement's text, and not of
// its arguments: PostgreSQL plans a statement once, and must read the rows of one tenant by another index than those of
// all (K4).
func (l *listing) ofTenants(f hook.TenantFilter) {
	if f.All {
		return
	}
	l.within = append(l.within, l.alias+".tenant_id = @tenant_id")
	l.args["tenant_id"] = [16]byte(f.ID)
}

// ofType filters by a column with a type or topic: rows that equal the pattern, or that begin with the part before
// its *. Unlike a webhook's pattern, it includes operational types.
func (l *listing) ofType(column, pattern string) {
	l.chosen = pgx.StrictNamedArgs{}
	switch {
	case pattern == "" || pattern == "*":
	case hook.IsWildcard(pattern):
		l.filter = append(l.filter, `(`+column+` = @type or starts_with(`+column+`, @prefix))`)
		l.chosen["type"], l.chosen["prefix"] = pattern, strings.TrimSuffix(pattern, "*")
	default:
		l.filter = append(l.filter, column+` = @type`)
		l.chosen["type"] = pattern
	}
}

// rows returns the query of the rows to read, in their order.
func (l *listing) rows(columns string) string {
	return fmt.Sprintf(`select %s from %s %s where %s order by %[3]s.id desc`, columns, l.table, l.alias, strings.Join(l.within, " and "))
}

// page returns the statement that reads a page.
func (l *listing) page() string {
	chosen := ""
	if len(l.filter) > 0 {
		chosen = " where " + strings.Join(l.filter, " and ")
	}
	if l.measure != "" {
		return fmt.Sprintf(`
			select %[1]s from (
				select *, %[2]s as measured, row_number() over (order by %[3]s.id desc) as place
				from (select * from (%[4]s limit %[5]d) %[3]s%[6]s order by %[3]s.id desc limit @limit) %[3]s
			) %[3]s order by %[3]s.id desc`,
			l.columns, l.measure, l.alias, l.rows(l.alias+".*"), maxRowsRead, chosen)
	}
	return fmt.Sprintf(`select %s from (%s limit %d) %s %s%s order by %[4]s.id desc limit @limit`,
		l.columns, l.rows(l.alias+".*"), maxRowsRead, l.alias, l.join, chosen)
}

// bound restricts the list to the page's ids.
func (l *listing) bound(p hook.Page) {
	l.args["lo"], l.args["hi"] = bounds(p)
	l.within = append(l.within, l.alias+".id >= @lo", l.alias+".id < @hi")
}

func (l *listing) pageArgs(limit int) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{"limit": limit}
	maps.Copy(args, l.args)
	maps.Copy(args, l.chosen)
	return args
}

// lastRead returns the statement that reads the last row that a page may read, if there are that many.
func (l *listing) lastRead() string {
	return fmt.Sprintf(`%s offset %d limit 1`, l.rows(l.alias+".id"), maxRowsRead-1)
}

// readPage reads a page, and returns where the next one begins, nil at the end.
func readPage[T any](
	ctx context.Context, s *Store, l *listing, p hook.Page, collect func(pgx.Rows) ([]T, error), id func(*T) [16]byte,
) (found []T, next *[16]byte, err error) {
	l.bound(p)
	// Both statements must see the same rows.
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.lists, options, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(listSettings)
		batch.Queue(l.page(), l.pageArgs(p.Limit+1)).Query(func(rows pgx.Rows) (err error) {
			found, err = collect(rows)
			return err
		})
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		var more bool
		if found, more = cut(found, p.Limit); more {
			last := id(&found[len(found)-1])
			next = &last
			return nil
		}
		if len(l.filter) == 0 {
			return nil
		}
		var last [16]byte
		switch err := tx.QueryRow(ctx, l.lastRead(), l.args).Scan(&last); {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		next = &last
		return nil
	})
	if err != nil {
		return nil, nil, mapListError(err)
	}
	return found, next, nil
}

// listSettings are the settings of a page's transaction. However few rows the planner expects, it must read them in
// the order of the index: a new day has no statistics.
const listSettings = `select set_config('statement_timeout', '4s', true), set_config('enable_sort', 'off', true),
	set_config('enable_seqscan', 'off', true)`

// mapListError tells the client of a page that took too long how to narrow the list.
func mapListError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" { // query_canceled
		return &hook.Error{
			Kind: hook.KindUnavailable, RetryAfter: listTimeout, Err: err,
			Message: "the store takes too long to read this page; since and until narrow the list",
		}
	}
	return mapErr(err)
}

// may filters out rows that the reader's topics don't cover, as hook.Matches does; column has the type.
func (l *listing) may(r hook.Readable, column string) {
	if len(r.Topics) == 0 {
		return
	}
	var operational []string
	for _, t := range hook.OperationalEventTypes() {
		operational = append(operational, t.Name)
	}
	l.filter = append(l.filter, `exists (
		select from unnest(@may::text[]) as m(pattern) where m.pattern = `+column+` or `+column+` <> all(@operational::text[])
			and (m.pattern = '*' or m.pattern like '%.*' and starts_with(`+column+`, left(m.pattern, -1))))`)
	l.choose(pgx.StrictNamedArgs{"may": r.Topics, "operational": operational})
}

// choose adds arguments of filter.
func (l *listing) choose(args pgx.StrictNamedArgs) {
	if l.chosen == nil {
		l.chosen = pgx.StrictNamedArgs{}
	}
	maps.Copy(l.chosen, args)
}
