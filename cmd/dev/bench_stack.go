package main

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

	"grapnel/internal/hook"
)

// benchStackOptions are the flags of the stack that is measured.
type benchStackOptions struct {
	options
	Layout     string `default:"product" enum:"product,one,split,pairs" help:"Which processes there are."`
	SecondAPI  string `name:"second-api-addr" placeholder:"ADDR" help:"Address of the second API of the layout pairs."`
	Profile    string `help:"File for a processor profile."`
	Statements bool   `help:"Count what each SQL statement costs."`
}

// runBenchStack runs a stack to be measured, until ctx ends.
func runBenchStack(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var o benchStackOptions
	if stop, err := parseBench(&o, args, stdout, stderr); stop || err != nil {
		return err
	}
	s := &stack{options: &o.options, stdout: stdout, stderr: stderr, begin: time.Now()}
	defer func() { err = errors.Join(err, s.stop()) }()
	if o.Statements {
		s.postgresSettings = statementSettings()
	}
	var start func(context.Context) error
	switch o.Layout {
	case "product":
		start = s.startApart
	case "pairs":
		start = func(ctx context.Context) error { return s.startPairs(ctx, o.SecondAPI) }
	default:
		o.Processes = o.Layout
		start = s.start
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
	case err := <-s.procs.ended:
		return err
	}
}

// allocsSuffix names the profile of what was allocated, beside the processor's.
const allocsSuffix = ".allocs"

// profile writes a processor profile of this process, and when it is stopped, one of
// all that was allocated.
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

// startApart is start with API and worker in this process, as in grapnel serve,
// and the Temporal server in one of its own: what the product costs can be told
// from what Temporal does. There is no Web UI, which would be in this process.
func (s *stack) startApart(ctx context.Context) error {
	temporal, err := s.startBelow(ctx)
	if err != nil {
		return err
	}
	if err := setTemporalEnvironment(s.TemporalAddr); err != nil {
		return err
	}
	p, err := startPart(ctx, s.options, roleBoth, s.state.Path("grapnel.log"))
	if err != nil {
		return err
	}
	s.onStop(p.stop)
	s.procs = grapnelProcesses{apiPID: os.Getpid(), workerPID: os.Getpid(), temporalPID: temporal.pid(), ended: p.ended}
	if err := awaitReady(ctx, p, "http://"+s.APIAddr); err != nil {
		return err
	}
	return s.announce()
}

// startBelow starts what Grapnel needs, without a Web UI: PostgreSQL and, in a process
// of its own, the Temporal server.
func (s *stack) startBelow(ctx context.Context) (temporal *childProcess, err error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := s.openState(); err != nil {
		return nil, err
	}
	if err := s.startPostgres(ctx); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	s.ui = &webUI{URL: "-"}
	if err := s.complete(s.state.Secrets, s.storeURL, ""); err != nil {
		return nil, err
	}
	temporal = &childProcess{stack: s, role: roleTemporal}
	return temporal, s.startChild(ctx, temporal)
}

// durability asks PostgreSQL for its version and whether it keeps its promises; if
// not, whatever is measured means nothing.
func durability(ctx context.Context, databaseURL string) (version, settings string, err error) {
	var fsync, commit, pages string
	err = onDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
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

// fillStore makes events that were delivered over the last day, and says so.
func fillStore(ctx context.Context, databaseURL string, n int) (note string, err error) {
	err = onDatabase(ctx, databaseURL, func(conn *pgx.Conn) error { return fill(ctx, conn, n) })
	return fmt.Sprintf("beside %d stored deliveries", n), err
}

func fill(ctx context.Context, conn *pgx.Conn, n int) error {
	tenant := hook.DefaultTenant()
	// A delivery's id begins as its event's does, with the time. Ten webhooks that
	// there are no more have got them all.
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
	// What filling has left to do is not to be done while we measure.
	for _, statement := range []string{`vacuum analyze events, deliveries`, `checkpoint`} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
