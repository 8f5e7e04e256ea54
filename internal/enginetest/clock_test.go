package enginetest_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The tests run in a bubble of testing/synctest, whose time passes only when every goroutine is blocked.
// PostgreSQL is outside of the bubble. To give it the bubble's time, the tests define their own now() and
// clock_timestamp(), which are found before the server's and read a table. The time is written to that table
// before each use of the store. Stored times need no conversion, and days pass within milliseconds.

// skippedTime creates these functions and makes the columns' defaults use them. search_path must name public
// before pg_catalog.
const skippedTime = `
	create unlogged table skipped_time (at timestamptz not null);
	insert into skipped_time values (pg_catalog.now());
	create function public.now() returns timestamptz language sql stable as 'select at from public.skipped_time';
	create function public.clock_timestamp() returns timestamptz language sql stable as 'select at from public.skipped_time';
	do $$
	declare d record;
	begin
		for d in
			select a.adrelid::regclass::text as tbl, c.attname as col, pg_get_expr(a.adbin, a.adrelid) as expr
			from pg_attrdef a
			join pg_attribute c on c.attrelid = a.adrelid and c.attnum = a.adnum
			join pg_class t on t.oid = a.adrelid
			where not t.relispartition and c.attgenerated = '' and pg_get_expr(a.adbin, a.adrelid) ~ '(now|clock_timestamp)\(\)'
		loop
			execute format('alter table %s alter column %I set default %s', d.tbl, d.col,
				regexp_replace(d.expr, '(pg_catalog\.)?(now|clock_timestamp)\(\)', 'public.\2()', 'g'));
		end loop;
	end $$`

// history records the changes of each delivery in order. If a row is dropped with its day, the history keeps its
// last state.
const history = `
	create unlogged table history (
		n bigserial primary key, id uuid not null, event_id uuid not null, webhook_id uuid not null, state text not null,
		outstanding boolean not null, attempts int not null, inserted boolean not null, at timestamptz not null);
	create function note_history() returns trigger language plpgsql as $$
	begin
		insert into public.history (id, event_id, webhook_id, state, outstanding, attempts, inserted, at)
		values (new.id, new.event_id, new.webhook_id, new.state, new.next_attempt_at is not null, new.attempts, tg_op = 'INSERT', public.now());
		return null;
	end $$;
	create trigger note_history after insert or update on deliveries for each row execute function note_history()`

// prepare gives a migrated database skipped time and the history.
func prepare(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // everything is committed
	if _, err := conn.Exec(ctx, skippedTime); err != nil {
		return fmt.Errorf("skip time: %w", err)
	}
	if _, err := conn.Exec(ctx, history); err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	return nil
}

// clock keeps PostgreSQL's time equal to the bubble's.
type clock struct {
	db *pgxpool.Pool
	mu sync.Mutex
	at time.Time
}

// sync sets PostgreSQL's time if the bubble's has changed.
func (c *clock) sync() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Equal(c.at) {
		return nil
	}
	// The caller's context must not interrupt the statement: other goroutines need the time, too.
	if _, err := c.db.Exec(context.Background(), `update skipped_time set at = $1`, now); err != nil { //nolint:forbidigo // see above
		return fmt.Errorf("set the time: %w", err)
	}
	c.at = now
	return nil
}
