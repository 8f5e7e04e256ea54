//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/wait"
)

// AnyPort is the value of Options.Port for a free TCP port.
const AnyPort = -1

const (
	startTime    = 60 * time.Second      // a crash recovery can take a while
	fillTime     = 2 * time.Minute       // for Image.Fill
	pollEvery    = 20 * time.Millisecond // the interval for polling a state without notifications
	stopTime     = 15 * time.Second      // for the shutdown checkpoint
	quitTime     = 10 * time.Second      // PostgreSQL kills its children after 5 s
	socketPort   = 5432                  // names the socket when there is no TCP port
	defaultConns = 100
)

// Options describes the server to start. The zero value is a temporary, unsafe
// and fast server on a Unix socket.
type Options struct {
	// DataDir is created and initialised if it is missing or empty, and kept.
	// Empty means a temporary directory that Stop removes.
	DataDir string
	// Port is the TCP port on 127.0.0.1. 0 means a Unix socket only, AnyPort
	// a free one. There is a Unix socket in any case.
	Port int
	// LogFile is appended to. Empty means a file that Stop removes.
	LogFile string
	// Durable keeps PostgreSQL's promises (fsync, synchronous_commit,
	// full_page_writes). Without it a power cut corrupts the data.
	Durable bool
	// MaxConnections is 100 if zero.
	MaxConnections int
	// Settings are further settings, which override the fields above.
	Settings map[string]string
	// Image is the content of a temporary server; nil is an empty one.
	Image *Image
}

// isTemporary reports whether nothing of the server's data need outlive it, or a crash.
func (o *Options) isTemporary() bool { return o.DataDir == "" && !o.Durable }

// Server is a running PostgreSQL server. It trusts every local user, so it
// must not hold anything of value.
type Server struct {
	port    int // 0: no TCP
	run     *runDir
	proc    *process
	release func()
	stop    sync.Once
	stopErr error
}

// Start finds PostgreSQL, initialises the data directory if need be, and
// returns when the server answers; ctx bounds the start, not the server's
// life. The error may be ErrNotFound, a *PortInUseError or an
// *AlreadyRunningError; otherwise it ends with the server's last log lines.
// If the process is root, the server runs as the user postgres, or else nobody.
func Start(ctx context.Context, opts Options) (*Server, error) {
	limit := startTime
	if opts.Image != nil {
		limit += fillTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	bin, err := Find(ctx)
	if err != nil {
		return nil, err
	}
	cred, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if opts.DataDir != "" {
		if opts.DataDir, err = filepath.Abs(opts.DataDir); err != nil {
			return nil, fmt.Errorf("resolve data directory: %w", err)
		}
		if err := checkVacant(ctx, opts.DataDir); err != nil {
			return nil, err
		}
		cred = owner(opts.DataDir, cred)
	}
	s := &Server{port: opts.Port, release: func() {}}
	if s.port == AnyPort {
		if s.port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	if s.port > 0 {
		if err := checkPort(ctx, s.port); err != nil {
			return nil, err
		}
	}
	if s.run, err = newRunDir(cred, opts.isTemporary()); err != nil {
		return nil, err
	}
	if err := s.launch(ctx, bin, opts, cred); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// launch initialises the data directory, starts the server and waits until it
// answers. The caller stops s if it fails.
func (s *Server) launch(ctx context.Context, bin string, opts Options, cred *syscall.Credential) error {
	dataDir := opts.DataDir
	if dataDir == "" {
		dataDir = filepath.Join(s.run.path, "data")
	}
	var err error
	if opts.isTemporary() {
		err = initTemporary(ctx, bin, dataDir, cred, opts.Image)
	} else {
		err = initdb(ctx, bin, dataDir, opts.Durable, cred)
	}
	if err != nil {
		return err
	}
	logFile := opts.LogFile
	if logFile == "" {
		logFile = filepath.Join(s.run.path, "postgres.log")
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the caller's choice
	if err != nil {
		return fmt.Errorf("open PostgreSQL log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the server has its own copy
	start := end(log)

	// The server outlives ctx, which ends with the start.
	cmd, release, err := program(context.WithoutCancel(ctx), filepath.Join(bin, "postgres"), dataDir, cred,
		s.arguments(opts)...)
	if err != nil {
		return err
	}
	s.release = release
	cmd.Stdout, cmd.Stderr = log, log
	if s.proc, err = spawn(cmd, cred); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		if s.port > 0 && s.exited() {
			if busy := checkPort(ctx, s.port); busy != nil {
				return busy // another process took the port after the check
			}
		}
		return fmt.Errorf("start PostgreSQL on %s: %w: %s", dataDir, err, tail(logFile, start))
	}
	return nil
}

// arguments are the server's settings as command-line flags: the
// configuration file in the data directory stays as initdb made it.
func (s *Server) arguments(opts Options) []string {
	conns := opts.MaxConnections
	if conns == 0 {
		conns = defaultConns
	}
	set := map[string]string{
		"listen_addresses":        "",
		"port":                    itoa(socketPort),
		"unix_socket_directories": s.run.path,
		"unix_socket_permissions": "0700",
		"max_connections":         itoa(conns),
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"log_line_prefix":         "%m [%p] %d ",
	}
	if s.port > 0 {
		set["listen_addresses"] = loopback
		set["port"] = itoa(s.port)
	}
	if !opts.Durable {
		maps.Copy(set, map[string]string{
			"fsync":              "off",
			"synchronous_commit": "off",
			"full_page_writes":   "off",
			"wal_level":          "minimal",
			"max_wal_senders":    "0", // required by wal_level=minimal
			"max_wal_size":       "1GB",
		})
	}
	maps.Copy(set, opts.Settings)
	args := make([]string, 0, 2*len(set))
	for _, name := range slices.Sorted(maps.Keys(set)) {
		args = append(args, "-c", name+"="+set[name])
	}
	return args
}

// ready waits until the server accepts a connection.
func (s *Server) ready(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, s.socketURL(Superuser))
		if err == nil {
			return conn.Close(ctx)
		}
		if s.exited() {
			return fmt.Errorf("the server ended: %w", s.proc.err)
		}
		if wait.For(ctx, pollEvery) != nil {
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

func (s *Server) exited() bool {
	select {
	case <-s.proc.done:
		return true
	default:
		return false
	}
}

// Stop shuts the server down and removes temporary files. It requests a
// fast shutdown, which ends transactions and writes a checkpoint, and after the end of
// ctx or 15 seconds an immediate one. Further calls return the result of
// the first one.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		if s.proc != nil {
			s.stopErr = s.shutDown(ctx)
		}
		s.release()
		s.stopErr = errors.Join(s.stopErr, s.run.remove())
	})
	return s.stopErr
}

func (s *Server) shutDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	s.proc.signal(syscall.SIGINT)
	select {
	case <-s.proc.done:
		return nil
	case <-ctx.Done():
	}
	s.proc.signal(syscall.SIGQUIT)
	select {
	case <-s.proc.done:
		return fmt.Errorf("stop PostgreSQL (pid %d): no fast shutdown in time: %w", s.PID(), ctx.Err())
	case <-time.After(quitTime):
	}
	s.proc.signal(syscall.SIGKILL)
	<-s.proc.done
	return fmt.Errorf("stop PostgreSQL (pid %d): killed: %w", s.PID(), ctx.Err())
}

// Done returns a channel that is closed when the server has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.proc.done }

// PID returns the postmaster's process id.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// Port returns the TCP port on 127.0.0.1; 0 if the server has none.
func (s *Server) Port() int { return s.port }

// URL returns the URL of database db: over TCP if the server has a port, else
// over its Unix socket.
func (s *Server) URL(db string) string {
	if s.port == 0 {
		return s.socketURL(db)
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(Superuser),
		Host:     loopback + ":" + itoa(s.port),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (s *Server) socketURL(db string) string {
	port := socketPort
	if s.port > 0 {
		port = s.port
	}
	// pgx does not decode a plus sign as a space.
	query := strings.ReplaceAll(url.Values{"host": {s.run.path}, "port": {itoa(port)}}.Encode(), "+", "%20")
	u := url.URL{Scheme: "postgres", User: url.User(Superuser), Path: "/" + db, RawQuery: query}
	return u.String()
}

// end returns the current length of the file.
func end(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// tail returns the last lines written to file since position start.
func tail(file string, start int64) string {
	content, err := os.ReadFile(file) //nolint:gosec // the log that we opened
	if err != nil || int64(len(content)) < start {
		return "(no log)"
	}
	lines := strings.Split(strings.TrimSpace(string(content[start:])), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
