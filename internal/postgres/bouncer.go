//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoBouncer is the error if pgbouncer is not installed.
var ErrNoBouncer = errors.New("pgbouncer is not installed: apt-get install pgbouncer, or brew install pgbouncer")

// bouncerStart limits the time of a start, bouncerStop that of a stop, which does not wait for clients.
const bouncerStart, bouncerStop = 10 * time.Second, 5 * time.Second

// Bouncer is a pgbouncer in transaction mode in front of one server. It trusts every
// client, as the servers of this package do.
type Bouncer struct {
	exe         string
	server      *pgx.ConnConfig
	connections int
	port        int
	run         *runDir
	proc        *process
}

// StartBouncer starts a pgbouncer in front of the server at address, with the given number of
// connections to each database, which all clients share. The error may be ErrNoBouncer;
// otherwise it ends with pgbouncer's log.
func StartBouncer(ctx context.Context, address string, connections int) (*Bouncer, error) {
	b := &Bouncer{connections: connections}
	var err error
	if b.exe, err = findBouncer(); err != nil {
		return nil, err
	}
	if b.server, err = pgx.ParseConfig(address); err != nil {
		return nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	if b.port, err = freePort(ctx); err != nil {
		return nil, err
	}
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// Start starts pgbouncer again at the same address, after it was stopped.
func (b *Bouncer) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bouncerStart)
	defer cancel()
	cred, err := unprivileged()
	if err != nil {
		return err
	}
	if b.run, err = newRunDir(cred, false); err != nil {
		return err
	}
	if err := b.launch(ctx, cred); err != nil {
		return errors.Join(err, b.Stop())
	}
	return nil
}

// CheckBouncer returns ErrNoBouncer unless pgbouncer is installed.
func CheckBouncer() error {
	_, err := findBouncer()
	return err
}

// findBouncer also looks in Debian's directory, which is not in every user's PATH.
func findBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoBouncer
}

func (b *Bouncer) launch(ctx context.Context, cred *syscall.Credential) error {
	server, password := b.server, ""
	if server.Password != "" {
		password = " password=" + server.Password
	}
	// auth_type any: every client is the user of the connection string.
	text := fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = %s
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
max_client_conn = 500
`, server.Host, server.Port, server.User, password, loopback, b.port, b.connections)
	path := filepath.Join(b.run.path, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configure pgbouncer: %w", err)
	}
	if err := give(path, cred); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(b.run.path, "pgbouncer.log"))
	if err != nil {
		return fmt.Errorf("start pgbouncer: %w", err)
	}
	defer log.Close()                //nolint:errcheck // the process has its own copy
	cmd := exec.Command(b.exe, path) //nolint:gosec,noctx // found above; stopped by signal
	cmd.Stdout, cmd.Stderr = log, log
	if b.proc, err = spawn(cmd, cred); err != nil {
		return fmt.Errorf("start pgbouncer: %w", err)
	}
	return b.await(ctx, log.Name())
}

// await waits until the server answers through pgbouncer.
func (b *Bouncer) await(ctx context.Context, log string) error {
	for {
		conn, err := pgx.Connect(ctx, b.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		timer := time.NewTimer(10 * time.Millisecond)
		select {
		case <-timer.C:
			continue
		case <-b.proc.done:
		case <-ctx.Done():
		}
		timer.Stop()
		said, _ := os.ReadFile(log) //nolint:gosec // our own file; said is empty if it can't be read
		return fmt.Errorf("pgbouncer does not answer: %w\n%s", err, said)
	}
}

// URL returns the URL of a database of the server, through pgbouncer.
func (b *Bouncer) URL() string {
	u := url.URL{
		Scheme: "postgres", User: url.User(b.server.User), Host: loopback + ":" + itoa(b.port), Path: "/" + b.server.Database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Stop ends pgbouncer at once: transactions in progress through it fail. It may be
// stopped already.
func (b *Bouncer) Stop() error {
	if b.proc != nil {
		b.proc.signal(syscall.SIGTERM)
		timer := time.AfterFunc(bouncerStop, func() { b.proc.signal(syscall.SIGKILL) })
		<-b.proc.done
		timer.Stop()
	}
	if b.run == nil {
		return nil
	}
	err := b.run.remove()
	b.proc, b.run = nil, nil
	return err
}
