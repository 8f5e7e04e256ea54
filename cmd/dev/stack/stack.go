// Package stack is the development stack: PostgreSQL, the Temporal server with its Web UI, the API, the worker and a
// sample receiver, in one process or in several.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/command"
	"grapnel/internal/config"
	"grapnel/internal/postgres"
	"grapnel/storage"
)

// GrapnelDatabase is the name of the product's database.
const GrapnelDatabase = "grapnel"

// Stack holds the parts that have been started. They are stopped in the reverse order.
type Stack struct {
	*Options
	stdout, stderr io.Writer
	State          *state
	begin          time.Time
	stops          []func() error

	// PostgresSettings are further settings of PostgreSQL.
	PostgresSettings map[string]string

	Postgres    *postgres.Server // nil with --database-url
	postgresPID int
	PostgresURL string
	// storeURL is where Grapnel finds the database: PostgresURL, or the pgbouncer's with --pgbouncer.
	storeURL string
	ui       *webUI
	receiver *receiverServer
	Grapnel  grapnelProcesses
}

// grapnelProcesses are the parts of Grapnel and Temporal, in this process or in processes of their own.
type grapnelProcesses struct {
	apiPID, workerPID, temporalPID int
	// Ended is closed, or receives an error, when a part cannot continue.
	Ended <-chan error
}

// Command parses args and runs a stack, or the process of a stack that the hidden flag --role names, until ctx ends.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o Options
	return command.Run(&o, args, func(*kong.Context) error {
		if o.Role != "" {
			return runRole(ctx, &o, stdout, stderr)
		}
		return runStack(ctx, &o, stdout, stderr)
	}, kong.Name("dev"), kong.DefaultEnvars(config.EnvPrefix), kong.Writers(stdout, stderr),
		kong.Description("Runs all of Grapnel for development: PostgreSQL, the Temporal server with its Web UI, Grapnel and a sample receiver. It ignores TEMPORAL_* and DATABASE_URL in the environment; --database-url sets another PostgreSQL. dev bench measures Grapnel, dev crash tests it under faults; each has its own --help."))
}

// New returns a stack that writes its progress, in seconds since begin, to stderr.
func New(o *Options, stdout, stderr io.Writer, begin time.Time) *Stack {
	return &Stack{Options: o, stdout: stdout, stderr: stderr, begin: begin}
}

// runStack starts everything, and stops everything when ctx ends.
func runStack(ctx context.Context, o *Options, stdout, stderr io.Writer) (err error) {
	s := New(o, stdout, stderr, time.Now())
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := s.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while starting
		}
		return err
	}
	select {
	case <-ctx.Done():
		s.Progress("stopping")
		return nil
	case err := <-s.Grapnel.Ended:
		return err
	}
}

// Start starts all parts and returns when the API and the worker are ready, or with the error of the part that failed.
func (s *Stack) Start(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := s.openState(); err != nil {
		return err
	}
	// The ports come first, so that a port in use is reported at once and not after minutes.
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
	if err := s.complete(s.State.Secrets, s.storeURL, s.ui.URL); err != nil {
		return err
	}
	if err := s.startGrapnel(ctx); err != nil {
		return err
	}
	return s.announce()
}

// check validates the settings before anything is started.
func (s *Stack) check() error {
	if s.PostgresPort < 0 || s.PostgresPort > 65535 {
		return fmt.Errorf("--postgres-port %d: want 0 to 65535", s.PostgresPort)
	}
	o := *s.Options
	return o.complete(NewCredentials(), "postgres://postgres@localhost/grapnel", "http://"+Loopback)
}

// OnStop registers a function that undoes a step.
func (s *Stack) OnStop(f func() error) { s.stops = append(s.stops, f) }

// Stop calls the functions of OnStop, the last one first.
func (s *Stack) Stop() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	s.stops = nil
	return errors.Join(errs...)
}

// Progress prints a message with the time since the start.
func (s *Stack) Progress(format string, args ...any) {
	fmt.Fprintf(s.stderr, "%6.1fs  %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (s *Stack) openState() (err error) {
	dir := s.DataDir
	if dir == "" {
		if dir, err = defaultDataDir(); err != nil {
			return err
		}
	}
	if s.State, err = openState(dir, s.Fresh); err != nil {
		return err
	}
	s.OnStop(s.State.Close)
	s.Progress("state in %s", s.State.Dir)
	return nil
}

func (s *Stack) startReceiver(ctx context.Context) (err error) {
	if s.NoReceiver {
		return nil
	}
	s.receiver, err = startReceiver(ctx, s.ReceiverAddr, receiverOptions{Secrets: []string{s.State.Secrets.Receiver}, Out: s.stdout})
	if err != nil {
		return err
	}
	s.OnStop(func() error { return s.receiver.Stop(context.WithoutCancel(ctx)) })
	return nil
}

// GrapnelConns is the most connections that API, worker and their tests may take, beside Temporal's.
const GrapnelConns = 60

func (s *Stack) startPostgres(ctx context.Context) error {
	if given := s.DatabaseURL.Reveal(); given != "" {
		s.PostgresURL, s.storeURL = given, given
		s.Progress("PostgreSQL as given by --database-url")
		return nil
	}
	s.Progress("starting PostgreSQL")
	s.OnStop(func() error {
		if s.Postgres == nil {
			return nil
		}
		return s.Postgres.Stop(context.WithoutCancel(ctx))
	})
	if err := s.LaunchPostgres(ctx); err != nil {
		return postgresPortError(err, "--postgres-port")
	}
	if err := CreateDatabase(ctx, s.Postgres.URL("postgres"), GrapnelDatabase); err != nil {
		return err
	}
	s.PostgresURL = s.Postgres.URL(GrapnelDatabase)
	return s.startPgbouncer(ctx)
}

// LaunchPostgres starts the server, or starts it again after it has ended. With a given port its clients can
// reconnect.
func (s *Stack) LaunchPostgres(ctx context.Context) (err error) {
	port := s.PostgresPort
	if port == 0 {
		port = postgres.AnyPort
	}
	s.Postgres, err = postgres.Start(ctx, postgres.Options{
		DataDir: s.State.Path("postgres"), LogFile: s.State.Path("postgres.log"), Port: port,
		Durable: true, MaxConnections: TemporalConns + GrapnelConns, Settings: s.PostgresSettings,
	})
	if err != nil {
		return err
	}
	s.postgresPID = s.Postgres.PID()
	return nil
}

func (s *Stack) migrate(ctx context.Context) error {
	s.Progress("migrating")
	_, err := storage.Migrate(ctx, s.storeURL)
	return err
}

// BouncerConns is the most of GrapnelConns that pgbouncer may take.
const BouncerConns = 8

// startPgbouncer starts pgbouncer for the store if --pgbouncer is set. Temporal's server needs sessions and does not
// use it.
func (s *Stack) startPgbouncer(ctx context.Context) error {
	s.storeURL = s.PostgresURL
	if !s.Pgbouncer {
		return nil
	}
	s.Progress("starting pgbouncer")
	b, err := postgres.StartBouncer(ctx, s.PostgresURL, BouncerConns)
	if err != nil {
		return err
	}
	s.OnStop(b.Stop)
	s.storeURL = b.URL()
	return nil
}

func (s *Stack) startUI(ctx context.Context) (err error) {
	// The Web UI and the other processes need the address before Temporal listens on it.
	addr, err := checkAddr(ctx, temporalFlag, s.TemporalAddr)
	if err != nil {
		return err
	}
	s.TemporalAddr = addr.String()
	if s.ui, err = startUI(ctx, s.UIAddr, s.TemporalAddr); err != nil {
		return err
	}
	s.OnStop(func() error { s.ui.Stop(); return nil })
	return nil
}

// startGrapnel starts Temporal, API and worker, and waits until they are ready.
func (s *Stack) startGrapnel(ctx context.Context) error {
	// Like its flag, the API's port comes first, so that a port in use is found before Temporal starts.
	addr, err := checkAddr(ctx, "--api-addr", s.APIAddr)
	if err != nil {
		return err
	}
	s.APIAddr = addr.String()
	if s.Processes != layoutOne {
		return s.startChildren(ctx)
	}
	return s.startOne(ctx)
}

// startOne runs everything in this process, so that workflows and activities can start eagerly.
func (s *Stack) startOne(ctx context.Context) error {
	s.Progress("starting Temporal")
	logger, f, err := openLog(s.State.Path("temporal.log"), &Options{})
	if err != nil {
		return err
	}
	s.OnStop(f.Close)
	server, err := startTemporal(ctx, temporalOptions{
		Addr: s.TemporalAddr, DatabaseURL: s.PostgresURL, Logger: slog.New(atLeast{logger.Handler(), slog.LevelWarn}),
	})
	if err != nil {
		return err
	}
	s.OnStop(server.Stop)
	if err := setTemporalEnvironment(server.Addr); err != nil {
		return err
	}
	s.Progress("starting API and worker")
	p, err := startPart(ctx, s.Options, roleBoth, s.State.Path("grapnel.log"))
	if err != nil {
		return err
	}
	s.OnStop(p.stop)
	s.Grapnel = grapnelProcesses{apiPID: os.Getpid(), workerPID: os.Getpid(), temporalPID: os.Getpid(), Ended: p.ended}
	return awaitReady(ctx, p, "http://"+s.APIAddr)
}

// atLeast drops records below a level, because the Temporal server's log at info level is of no use here.
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
	ctx, cancel := context.WithTimeoutCause(ctx, ReadyTime, ErrNotReady)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return WaitHTTP(ctx, apiURL+"/readyz") })
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

// ReadyTime bounds the start of the API and the worker.
const ReadyTime = 30 * time.Second

// ErrNotReady reports that ReadyTime has passed.
var ErrNotReady = errors.New("the API and the worker were not ready in time")

// OnDatabase calls do with a connection of its own.
func OnDatabase(ctx context.Context, databaseURL string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // no transaction is open
	return do(conn)
}

// CreateDatabase makes the database unless it exists.
func CreateDatabase(ctx context.Context, adminURL, name string) error {
	return OnDatabase(ctx, adminURL, func(conn *pgx.Conn) error {
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

// withoutPassword returns the URL without its password, to be shown on a terminal.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "***"
	}
	return u.Redacted()
}
