// Package pgtemplate has the content of the databases that tests get from internal/pgtest: all migrations. It is for tests
// only.
package pgtemplate

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/storage"
)

// Whole is the content of a database after all migrations.
func Whole() pgtest.Template {
	return pgtest.Template{Key: storage.MigrationsKey(), Migrate: migrate}
}

// Template is Whole without most of the days: of those that a migration makes partitions for, today and tomorrow stay. A
// copy of it has half the files, and planning a statement over fewer partitions takes less time. If the long tests run,
// it is Whole. Tests of processes that create the days' partitions use Whole: such a process would create the missing ones.
func Template() pgtest.Template {
	if longtest.On() {
		return Whole()
	}
	return pgtest.Template{Key: storage.MigrationsKey() + " today and tomorrow", Migrate: func(ctx context.Context, url string) error {
		return errors.Join(migrate(ctx, url), dropDays(ctx, url))
	}}
}

func migrate(ctx context.Context, url string) error {
	_, err := storage.Migrate(ctx, url)
	return err
}

// dropDays drops the days but today and tomorrow.
func dropDays(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("drop the days of a template: %w", err)
	}
	_, err = conn.Exec(ctx, `
		select take_apart(day, '{}', '{}')
		from (
			select distinct to_date(right(c.relname, 8), 'YYYYMMDD') as day
			from unnest(partitioned_tables()) t join pg_inherits i on i.inhparent = t::regclass join pg_class c on c.oid = i.inhrelid
			where c.relname ~ '_[0-9]{8}$') days
		where day - (now() at time zone 'utc')::date not in (0, 1)`)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}
