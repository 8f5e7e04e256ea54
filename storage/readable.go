package storage

import (
	"maps"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// may leaves out of a list what its reader's topics don't cover, as hook.Matches does;
// the type is in the given column.
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
