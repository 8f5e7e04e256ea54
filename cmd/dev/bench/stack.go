package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/hook"
)

// benchStackOptions are the flags of the measured stack.
type benchStackOptions struct {
	stack.Options
	Layout     string `default:"product" enum:"binary,product,one,split,pairs" help:"Layout of the processes, as --processes of dev bench."`
	Binary     string `help:"The grapnel binary of the layout binary."`
	SecondAPI  string `name:"second-api-addr" placeholder:"ADDR" help:"Address of the second API of the layout pairs."`
	Profile    string `help:"File for a CPU profile."`
	Statements bool   `help:"Count the costs of each SQL statement."`
}

// runBenchStack runs a stack for a measurement, until ctx ends.
func runBenchStack(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o benchStackOptions
	return parseBench(&o, args, stdout, stderr, func() error { return measuredStack(ctx, &o, stdout, stderr) })
}

// measuredStack starts the stack of the options and stops it when ctx ends.
func measuredStack(ctx context.Context, o *benchStackOptions, stdout, stderr io.Writer) (err error) {
	s := stack.New(&o.Options, stdout, stderr, time.Now())
	defer func() { err = errors.Join(err, s.Stop()) }()
	if o.Statements {
		s.PostgresSettings = statementSettings()
	}
	var start func(context.Context) error
	switch o.Layout {
	case layoutBinary:
		start = func(ctx context.Context) error { return s.StartBinary(ctx, o.Binary) }
	case layoutProduct:
		start = s.StartApart
	case "pairs":
		start = func(ctx context.Context) error { return s.StartPairs(ctx, o.SecondAPI) }
	default:
		o.Processes = o.Layout
		start = s.Start
	}
	if err := start(ctx); err != nil {
		return err
	}
	if o.Profile != "" {
		stop, failed := profile(o.Profile)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.Grapnel.Ended:
		return err
	}
}

// allocsSuffix is the suffix of the allocation profile's file name.
const allocsSuffix = ".allocs"

// profile writes a processor profile of this process. stop ends it and also writes a profile of all allocations.
func profile(file string) (stop func() error, err error) {
	cpu, err := os.Create(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		allocs, err := os.Create(filepath.Clean(file + allocsSuffix))
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(cpu.Close(), pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
	}, nil
}

// durability returns PostgreSQL's version and the settings that make it durable. It returns an error if PostgreSQL is
// not durable, because a measurement would then be meaningless.
func durability(ctx context.Context, databaseURL string) (version, settings string, err error) {
	var fsync, commit, pages string
	err = stack.OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select current_setting('server_version'), current_setting('fsync'),
			current_setting('synchronous_commit'), current_setting('full_page_writes')`).Scan(&version, &fsync, &commit, &pages)
	})
	if err != nil {
		return "", "", fmt.Errorf("ask PostgreSQL for its settings: %w", err)
	}
	settings = fmt.Sprintf("fsync=%s, synchronous_commit=%s, full_page_writes=%s", fsync, commit, pages)
	if fsync != "on" || commit != "on" || pages != "on" {
		return "", "", fmt.Errorf("PostgreSQL is not durable: %s", settings)
	}
	return version, settings, nil
}

// fillStore stores events of a tenant that were delivered over the last day, and returns a note about them.
func fillStore(ctx context.Context, databaseURL string, tenant hook.TenantID, n int) (note string, err error) {
	err = stack.OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error { return fill(ctx, conn, tenant, n) })
	return fmt.Sprintf("beside %d stored deliveries", n), err
}

func fill(ctx context.Context, conn *pgx.Conn, tenant hook.TenantID, n int) error {
	// A delivery's id, like its event's, begins with the time. The deliveries belong to ten webhooks that do not
	// exist any more.
	if _, err := conn.Exec(ctx, `
		with stored as (
			select at, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' as head,
				md5('e' || i) as event, md5('d' || i) as delivery, lpad(to_hex(i % 10), 32, '0')::uuid as webhook
			from (select i, now() - interval '1 day' * i / $1::int as at from generate_series(1, $1::int) i) s
		), events as (
			insert into events (id, tenant_id, type, data, deliveries, created_at)
			select (head || left(event, 15))::uuid, $2, 'bench.stored', convert_to('{"n":0,"padding":"' || repeat('x', 280) || '"}', 'utf8'), 1, at
			from stored
		)
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, attempts, scheduled, status_code, delivered_at, created_at, updated_at)
		select (head || left(delivery, 15))::uuid, (head || left(event, 15))::uuid, webhook, $2, 'bench.stored', 'success', 1, 1, 200, at, at, at
		from stored`, n, tenant[:]); err != nil {
		return fmt.Errorf("fill the store: %w", err)
	}
	// The cleanup after the filling must not run during the measurement.
	for _, statement := range []string{`vacuum analyze events, deliveries`, `checkpoint`} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
