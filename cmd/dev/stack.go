package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/postgres"
	"grapnel/storage"
)

const grapnelDatabase = "grapnel"

// stack is what has been started, to be stopped in the reverse order.
type stack struct {
	*options
	stdout, stderr io.Writer
	state          *state
	begin          time.Time
	stops          []func() error

	// postgresSettings are further settings of PostgreSQL.
	postgresSettings map[string]string

	postgres    *postgres.Server // nil where it is not ours
	postgresPID int
	databaseURL string
	// storeURL is where Grapnel finds it: the same, but for --pgbouncer.
	storeURL string
	ui       *webUI
	receiver *receiverServer
	procs    grapnelProcesses
}

// grapnelProcesses are the parts of Grapnel and Temporal, in this process or in
// processes of their own.
type grapnelProcesses struct {
	apiPID, workerPID, temporalPID int
	// ended is closed or gets an error when a part can't go on.
	ended <-chan error
}

// runStack starts everything, says so, and stops everything when ctx ends.
func runStack(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	s := &stack{options: o, stdout: stdout, stderr: stderr, begin: time.Now()}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while starting
		}
		return err
	}
	select {
	case <-ctx.Done():
		s.progress("stopping")
		return nil
	case err := <-s.procs.ended:
		return err
	}
}

func (s *stack) start(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := s.openState(); err != nil {
		return err
	}
	// Ports first: a busy one is found out before minutes have gone by.
	if err := s.startReceiver(ctx); err != nil {
		return err
	}
	if err := s.startPostgres(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.startUI(ctx); err != nil {
		return err
	}
	if err := s.complete(s.state.Secrets, s.storeURL, s.ui.URL); err != nil {
		return err
	}
	if err := s.startGrapnel(ctx); err != nil {
		return err
	}
	return s.announce()
}

// check finds wrong settings before anything is started.
func (s *stack) check() error {
	if s.PostgresPort < 0 || s.PostgresPort > 65535 {
		return fmt.Errorf("--postgres-port %d: want 0 to 65535", s.PostgresPort)
	}
	o := *s.options
	return o.complete(newCredentials(), "postgres://postgres@localhost/grapnel", "http://"+loopback)
}

// onStop registers what undoes a step.
func (s *stack) onStop(f func() error) { s.stops = append(s.stops, f) }

// stop undoes what was done, the last step first.
func (s *stack) stop() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	s.stops = nil
	return errors.Join(errs...)
}

// progress tells how far the start is.
func (s *stack) progress(format string, args ...any) {
	fmt.Fprintf(s.stderr, "%6.1fs  %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (s *stack) openState() (err error) {
	dir := s.DataDir
	if dir == "" {
		if dir, err = defaultDataDir(); err != nil {
			return err
		}
	}
	if s.state, err = openState(dir, s.Fresh); err != nil {
		return err
	}
	s.onStop(s.state.Close)
	s.progress("state in %s", s.state.Dir)
	return nil
}

func (s *stack) startReceiver(ctx context.Context) (err error) {
	if s.NoReceiver {
		return nil
	}
	s.receiver, err = startReceiver(ctx, s.ReceiverAddr, receiverOptions{Secrets: []string{s.state.Secrets.Receiver}, Out: s.stdout})
	if err != nil {
		return err
	}
	s.onStop(func() error { return s.receiver.Stop(context.WithoutCancel(ctx)) })
	return nil
}

// grapnelConns is what API, worker and their tests may take beside Temporal.
const grapnelConns = 60

func (s *stack) startPostgres(ctx context.Context) error {
	if given := s.DatabaseURL.Reveal(); given != "" {
		s.databaseURL, s.storeURL = given, given
		s.progress("PostgreSQL as given by --database-url")
		return nil
	}
	s.progress("starting PostgreSQL")
	s.onStop(func() error {
		if s.postgres == nil {
			return nil
		}
		return s.postgres.Stop(context.WithoutCancel(ctx))
	})
	if err := s.launchPostgres(ctx); err != nil {
		return postgresPortError(err, "--postgres-port")
	}
	if err := createDatabase(ctx, s.postgres.URL("postgres"), grapnelDatabase); err != nil {
		return err
	}
	s.databaseURL = s.postgres.URL(grapnelDatabase)
	return s.startPgbouncer(ctx)
}

// launchPostgres starts our server, also after it has ended: where its port was given,
// nothing that was connected to it need know.
func (s *stack) launchPostgres(ctx context.Context) (err error) {
	port := s.PostgresPort
	if port == 0 {
		port = postgres.AnyPort
	}
	s.postgres, err = postgres.Start(ctx, postgres.Options{
		DataDir: s.state.Path("postgres"), LogFile: s.state.Path("postgres.log"), Port: port,
		Durable: true, MaxConnections: temporalConns + grapnelConns, Settings: s.postgresSettings,
	})
	if err != nil {
		return err
	}
	s.postgresPID = s.postgres.PID()
	return nil
}

func (s *stack) migrate(ctx context.Context) error {
	s.progress("migrating")
	_, err := storage.Migrate(ctx, s.storeURL)
	return err
}

// bouncerConns is what the pgbouncer may take of grapnelConns.
const bouncerConns = 8

// startPgbouncer puts one before the store, if that is wanted. Temporal's server needs
// sessions, and stays as it is.
func (s *stack) startPgbouncer(ctx context.Context) error {
	s.storeURL = s.databaseURL
	if !s.Pgbouncer {
		return nil
	}
	s.progress("starting pgbouncer")
	b, err := postgres.StartBouncer(ctx, s.databaseURL, bouncerConns)
	if err != nil {
		return err
	}
	s.onStop(b.Stop)
	s.storeURL = b.URL()
	return nil
}

func (s *stack) startUI(ctx context.Context) (err error) {
	// The Web UI and the processes of their own need the address before Temporal
	// has it.
	addr, err := checkAddr(ctx, temporalFlag, s.TemporalAddr)
	if err != nil {
		return err
	}
	s.TemporalAddr = addr.String()
	if s.ui, err = startUI(ctx, s.UIAddr, s.TemporalAddr); err != nil {
		return err
	}
	s.onStop(func() error { s.ui.Stop(); return nil })
	return nil
}

// startGrapnel starts Temporal, API and worker, and waits until they answer.
func (s *stack) startGrapnel(ctx context.Context) error {
	// The flags' order: a busy port of the API is found out before Temporal starts.
	addr, err := checkAddr(ctx, "--api-addr", s.APIAddr)
	if err != nil {
		return err
	}
	s.APIAddr = addr.String()
	if s.Processes == "split" {
		return s.startSplit(ctx)
	}
	return s.startOne(ctx)
}

// startOne runs everything in this process, which lets workflows and activities
// start eagerly.
func (s *stack) startOne(ctx context.Context) error {
	s.progress("starting Temporal")
	logger, f, err := openLog(s.state.Path("temporal.log"), &options{})
	if err != nil {
		return err
	}
	s.onStop(f.Close)
	server, err := startTemporal(ctx, temporalOptions{
		Addr: s.TemporalAddr, DatabaseURL: s.databaseURL, Logger: slog.New(atLeast{logger.Handler(), slog.LevelWarn}),
	})
	if err != nil {
		return err
	}
	s.onStop(server.Stop)
	if err := setTemporalEnvironment(server.Addr); err != nil {
		return err
	}
	s.progress("starting API and worker")
	p, err := startPart(ctx, s.options, roleBoth, s.state.Path("grapnel.log"))
	if err != nil {
		return err
	}
	s.onStop(p.stop)
	s.procs = grapnelProcesses{apiPID: os.Getpid(), workerPID: os.Getpid(), temporalPID: os.Getpid(), ended: p.ended}
	return awaitReady(ctx, p, "http://"+s.APIAddr)
}

// atLeast drops what is less severe: the Temporal server's log at info level is
// of no use here.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// WithAttrs implements slog.Handler.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}

// awaitReady waits until the API is ready and the worker polls.
func awaitReady(ctx context.Context, p *part, apiURL string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, errNotReady)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return waitHTTP(ctx, apiURL+"/readyz") })
	group.Go(func() error {
		select {
		case <-p.app.WorkerStarted():
			return nil
		case err := <-p.ended:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	return group.Wait()
}

const readyTime = 30 * time.Second

var errNotReady = errors.New("the API and the worker were not ready in time")

// onDatabase does something over a connection of its own.
func onDatabase(ctx context.Context, databaseURL string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is under way
	return do(conn)
}

// createDatabase makes the database unless it exists.
func createDatabase(ctx context.Context, adminURL, name string) error {
	return onDatabase(ctx, adminURL, func(conn *pgx.Conn) error {
		var exists bool
		if err := conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, name).Scan(&exists); err != nil {
			return fmt.Errorf("look for database %s: %w", name, err)
		}
		if exists {
			return nil
		}
		if _, err := conn.Exec(ctx, `create database `+pgx.Identifier{name}.Sanitize()); err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
		return nil
	})
}

// withoutPassword is a URL fit for a terminal.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "***"
	}
	return u.Redacted()
}
