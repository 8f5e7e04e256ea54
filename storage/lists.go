package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
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

// listing is a list of rows, newest first by id, or oldest first.
type listing struct {
	// oldestFirst turns the order around.
	oldestFirst bool

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
	// most bounds how many rows a page reads; 0 is maxRowsRead.
	most int
	// walk is set if the rows are found through others; nil otherwise.
	walk *walk
	// states are the states that its rows can have, of deliveries; nil is every state.
	states []hook.DeliveryState
}

// walk describes how rows are found through others, the steps.
type walk struct {
	// key is the column that is bounded by the page's ids, and step the one by which rows are ordered first. Both have the
	// order of the rows' ids. Steps may have several rows.
	key, step string
	// within says that table itself has the bounds @lo and @hi, and for its steps @first and @last.
	within bool
	// last is a query of the last step that a page may take, as the bound of the ids of its rows, in the list's order. It
	// finds none if there are not as many steps. Empty: steps are not bounded apart from rows.
	last string
}

// direction returns the SQL of the list's order by ids.
func (l *listing) direction() string {
	if l.oldestFirst {
		return " asc"
	}
	return " desc"
}

// before reports whether the row with id a comes before that with id b in the list.
func (l *listing) before(a, b [16]byte) bool {
	if l.oldestFirst {
		return bytes.Compare(a[:], b[:]) < 0
	}
	return bytes.Compare(a[:], b[:]) > 0
}

// reads returns how many rows a page reads at most.
func (l *listing) reads() int { return cmp.Or(l.most, maxRowsRead) }

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

// ofType filters by a column with a type or topic.
func (l *listing) ofType(column, pattern string) {
	condition, args := typeCondition(column, pattern)
	if condition != "" {
		l.filter = append(l.filter, condition)
	}
	l.choose(args)
}

// typesCondition is typeCondition for several patterns, of which one must match.
func typesCondition(column string, patterns []string) (string, pgx.StrictNamedArgs) {
	switch {
	case len(patterns) == 0 || slices.Contains(patterns, "*"):
		return "", nil
	case len(patterns) == 1:
		return typeCondition(column, patterns[0])
	}
	prefixes := []string{}
	for _, pattern := range patterns {
		if hook.IsWildcard(pattern) {
			prefixes = append(prefixes, strings.TrimSuffix(pattern, "*"))
		}
	}
	return `(` + column + ` = any(@types::text[]) or exists (select from unnest(@prefixes::text[]) p where starts_with(` + column + `, p)))`,
		pgx.StrictNamedArgs{"types": patterns, "prefixes": prefixes}
}

// typeCondition returns the condition that a column equals a pattern of types, or begins with the part before its *.
// Unlike a webhook's pattern, it includes operational types. It is "" if everything matches.
func typeCondition(column, pattern string) (string, pgx.StrictNamedArgs) {
	switch {
	case pattern == "" || pattern == "*":
		return "", nil
	case hook.IsWildcard(pattern):
		return `(` + column + ` = @type or starts_with(` + column + `, @prefix))`,
			pgx.StrictNamedArgs{"type": pattern, "prefix": strings.TrimSuffix(pattern, "*")}
	default:
		return column + ` = @type`, pgx.StrictNamedArgs{"type": pattern}
	}
}

// rows returns the query of the rows to read, in their order.
func (l *listing) rows(columns string) string {
	order := l.alias + ".id" + l.direction()
	if l.walk != nil {
		order = l.walk.step + l.direction() + ", " + order
	}
	return fmt.Sprintf(`select %s from %s %s where %s order by %s`, columns, l.table, l.alias, strings.Join(l.within, " and "), order)
}

// page returns the statement that reads a page.
func (l *listing) page() string {
	chosen := ""
	if len(l.filter) > 0 {
		chosen = " where " + strings.Join(l.filter, " and ")
	}
	all, order := l.alias+".*", l.alias+".id"+l.direction()
	if l.walk != nil {
		// The planner does not know that ids have the order of steps: without them it would sort, and so read all rows.
		all, order = all+", "+l.walk.step+" as step", l.alias+".step"+l.direction()+", "+order
	}
	if l.measure != "" {
		return fmt.Sprintf(`
			select %[1]s from (
				select *, %[2]s as measured, row_number() over (order by %[6]s) as place
				from (select * from (%[4]s limit %[5]d) %[3]s%[7]s order by %[6]s limit @limit) %[3]s
			) %[3]s order by %[6]s`,
			l.columns, l.measure, l.alias, l.rows(all), l.reads(), order, chosen)
	}
	return fmt.Sprintf(`select %s from (%s limit %d) %s %s%s order by %s limit @limit`,
		l.columns, l.rows(all), l.reads(), l.alias, l.join, chosen, order)
}

// bound restricts the list to the page's ids.
func (l *listing) bound(p hook.Page) {
	lo, hi := bounds(p)
	if l.oldestFirst {
		lo, hi = boundsAfter(p)
	}
	l.args["lo"], l.args["hi"] = lo, hi
	key := l.alias + ".id"
	if l.walk != nil {
		key = l.walk.key
		if l.walk.within {
			first, _ := deliveryRange(lo)
			_, last := deliveryRange(hi)
			l.args["first"], l.args["last"] = first, last
		}
	}
	l.within = append(l.within, key+" >= @lo", key+" < @hi")
}

func (l *listing) pageArgs(limit int) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{"limit": limit}
	maps.Copy(args, l.args)
	maps.Copy(args, l.chosen)
	return args
}

// lastRead returns the statement that reads the last row that a page may read, null if there are not as many.
func (l *listing) lastRead() string {
	last := fmt.Sprintf(`(%s offset %d limit 1)`, l.rows(l.alias+".id"), l.reads()-1)
	if l.walk != nil && l.walk.last != "" {
		last += `, (` + l.walk.last + `)`
	}
	return `select coalesce(` + last + `, null)`
}

// searches reports whether a page may end without being full although more rows follow.
func (l *listing) searches() bool { return len(l.filter) > 0 || l.walk != nil && l.walk.last != "" }

// readPage reads a page, and returns where the next one begins, nil at the end.
func readPage[T any](
	ctx context.Context, s *Store, l *listing, p hook.Page, collect func(pgx.Rows) ([]T, error), id func(*T) [16]byte,
) (found []T, next *[16]byte, err error) {
	return readMerged(ctx, s, []*listing{l}, p, collect, id)
}

// readMerged reads a page of several lists as if they were one. No row is in two of them.
func readMerged[T any](
	ctx context.Context, s *Store, lists []*listing, p hook.Page, collect func(pgx.Rows) ([]T, error), id func(*T) [16]byte,
) (found []T, next *[16]byte, err error) {
	pages := make([][]T, len(lists))
	// All statements must see the same rows.
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.lists, options, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(listSettings)
		for i, l := range lists {
			l.bound(p)
			batch.Queue(l.page(), l.pageArgs(p.Limit+1)).Query(func(rows pgx.Rows) (err error) {
				pages[i], err = collect(rows)
				return err
			})
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		for i, l := range lists {
			last, err := l.readUpTo(ctx, tx, len(pages[i]) > p.Limit, func() [16]byte { return id(&pages[i][p.Limit-1]) })
			if err != nil {
				return err
			}
			if last != nil && (next == nil || l.before(*last, *next)) {
				next = last
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, mapListError(err)
	}
	found = pages[0]
	if len(lists) > 1 {
		found = merge(lists[0], pages, id)
	}
	if next != nil {
		// After next, rows of one of the lists are not known.
		found = found[:sort.Search(len(found), func(i int) bool { return lists[0].before(*next, id(&found[i])) })]
	}
	found, more := cut(found, p.Limit)
	if more {
		last := id(&found[len(found)-1])
		next = &last
	}
	return found, next, nil
}

// readUpTo returns the id up to which a list's rows were read, in its order, nil if all were. full says that a page has more rows
// than it may show; shown is the id of the last one to be shown.
func (l *listing) readUpTo(ctx context.Context, tx pgx.Tx, full bool, shown func() [16]byte) (last *[16]byte, err error) {
	switch {
	case full:
		id := shown()
		return &id, nil
	case !l.searches():
		return nil, nil
	}
	err = tx.QueryRow(ctx, l.lastRead(), l.args).Scan(&last)
	return last, err
}

// merge returns the entries of all pages in the order of the list.
func merge[T any](l *listing, pages [][]T, id func(*T) [16]byte) []T {
	all := slices.Concat(pages...)
	slices.SortFunc(all, func(a, b T) int {
		switch x, y := id(&a), id(&b); {
		case l.before(x, y):
			return -1
		case l.before(y, x):
			return 1
		}
		return 0
	})
	return all
}

// listSettings are the settings of a page's transaction. However few rows the planner expects, it must read them in
// the order of the index, and rows of other tables by an index: a new day has no statistics.
const listSettings = `select set_config('statement_timeout', '4s', true), set_config('enable_sort', 'off', true),
	set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

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

// ofCaches filters out rows of caches that the reader may not read. cache is an expression.
func (l *listing) ofCaches(r hook.Readable, cache string) {
	if len(r.Caches) > 0 {
		l.filter = append(l.filter, cache+` = any(@caches::text[])`)
		l.choose(pgx.StrictNamedArgs{"caches": r.Caches})
	}
}

// choose adds arguments of filter.
func (l *listing) choose(args pgx.StrictNamedArgs) {
	if l.chosen == nil {
		l.chosen = pgx.StrictNamedArgs{}
	}
	maps.Copy(l.chosen, args)
}
