package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"grapnel/internal/app"
)

// Roles of the processes of --processes=split.
const (
	roleAPI      = "api"
	roleWorker   = "worker"
	roleTemporal = "temporal"
)

// childReady is the line by which a process says that it answers.
const childReady = "child ready"

// runRole is a process of --processes=split. It ends when ctx does, or when its
// standard input ends, which happens however the stack's process ends.
func runRole(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := setTemporalEnvironment(o.TemporalAddr); err != nil {
		return err
	}
	var ended <-chan error
	app.TuneMemory()
	if o.Role == roleTemporal {
		logger := slog.New(atLeast{slog.NewJSONHandler(stderr, nil), slog.LevelWarn})
		server, err := startTemporal(ctx, temporalOptions{Addr: o.TemporalAddr, DatabaseURL: o.DatabaseURL.Reveal(), Logger: logger})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
	} else {
		p, err := startPart(ctx, o, func() app.Roles {
			return app.Roles{API: o.Role == roleAPI, Worker: o.Role == roleWorker}
		}, os.Stderr.Name())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		ended = p.ended
		if o.Role == roleWorker {
			select {
			case <-p.app.WorkerStarted():
			case err := <-ended:
				return err
			case <-ctx.Done():
				return nil
			}
		}
	}
	if _, err := fmt.Fprintln(stdout, childReady); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// startSplit runs Temporal, worker and API as processes of this binary.
func (s *stack) startSplit(ctx context.Context) error {
	ended := make(chan error, 1)
	s.procs.ended = ended
	for _, child := range []struct {
		role string
		pid  *int
	}{{roleTemporal, &s.procs.temporalPID}, {roleWorker, &s.procs.workerPID}, {roleAPI, &s.procs.apiPID}} {
		c := &childProcess{stack: s, role: child.role}
		if err := s.startChild(ctx, c); err != nil {
			return err
		}
		*child.pid = c.pid()
	}
	wait, cancel := context.WithTimeoutCause(ctx, readyTime, errNotReady)
	defer cancel()
	return waitHTTP(wait, "http://"+s.APIAddr+"/readyz")
}

// startChild starts a process, to be stopped with the stack.
func (s *stack) startChild(ctx context.Context, c *childProcess) error {
	s.progress("starting %s", c.name())
	if err := c.start(ctx); err != nil {
		return err
	}
	s.onStop(c.stop)
	go c.keep(ctx)
	return nil
}

// childProcess is a role in a process of its own.
type childProcess struct {
	stack *stack
	role  string
	// suffix tells processes of one role apart; the only one needs none.
	suffix string
	// apiAddr is where the API listens; by default where the stack's options say.
	apiAddr string
	// databaseURL is where it finds the store; by default where the stack has it.
	databaseURL string
	// more are further arguments, which win.
	more []string
	// bound is what memory it may take; nil is as much as there is.
	bound *memoryBound

	mu       sync.Mutex
	cmd      *exec.Cmd
	stdin    io.Closer
	exited   chan struct{}
	stopping bool
	// up says that it is ready and has not ended since; started counts how often it has
	// become ready.
	up      bool
	started int
	// between is what comes between its next death and its restart.
	between func(context.Context) error
	// died counts its deaths but for those before which between was set.
	died int
}

// database is where the process finds its own; Temporal's server goes past a pgbouncer.
func (c *childProcess) database() string {
	if c.role == roleTemporal {
		return cmp.Or(c.databaseURL, c.stack.databaseURL)
	}
	return cmp.Or(c.databaseURL, c.stack.storeURL)
}

// name is what messages call the process, and its log file.
func (c *childProcess) name() string { return c.role + c.suffix }

// start starts the process and waits until it is ready.
func (c *childProcess) start(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(c.stack.state.Path(c.name()+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own copy
	o := c.stack.options
	cmd := exec.Command(exe, c.arguments()...) //nolint:gosec,noctx // ourselves; stopped by its standard input
	cmd.Env = append(os.Environ(),
		"GRAPNEL_DATABASE_URL="+c.database(), "GRAPNEL_ENCRYPTION_KEY="+o.EncryptionKey.Reveal(),
		"GRAPNEL_ADMIN_KEY="+o.AdminKey.Reveal(), "GRAPNEL_DIRECT_DATABASE_URL="+o.DirectURL.Reveal())
	cmd.Env = append(cmd.Env, c.bound.environment()...)
	// A Ctrl-C on the terminal is the stack's to hand on, in its order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name(), err)
	}
	if err := c.bound.add(cmd.Process.Pid); err != nil {
		c.stack.progress("%s: %v", c.name(), err) // it is watched all the same
	}
	exited := make(chan struct{})
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == childReady {
				ready <- true
			}
		}
		_ = cmd.Wait() // how it ended is in its log
		c.mu.Lock()
		c.up = false
		c.mu.Unlock()
		close(exited)
	}()
	c.mu.Lock()
	c.cmd, c.stdin, c.exited, c.up = cmd, stdin, exited, false
	c.mu.Unlock()
	select {
	case <-ready:
		c.mu.Lock()
		c.up, c.started = true, c.started+1
		c.mu.Unlock()
		return nil
	case <-exited:
		return fmt.Errorf("%s ended while it started: see %s", c.name(), log.Name())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.stop())
	}
}

// arguments are what the process needs to know and may show in a process list. Where a flag is
// there twice, the later one holds.
func (c *childProcess) arguments() []string {
	o := c.stack.options
	args := append(forwarded(o.Config), "--role="+c.role, "--temporal-addr="+o.TemporalAddr, "--api-addr="+cmp.Or(c.apiAddr, o.APIAddr), "--drain-delay=0s")
	if c.role != roleAPI {
		args = append(args, "--metrics-addr=") // one process has the port
	}
	if o.NameServer.IsValid() {
		args = append(args, "--name-server="+o.NameServer.String())
	}
	return append(args, c.more...)
}

// restartAfter keeps a process that can't start from being started all the time.
const restartAfter = 500 * time.Millisecond

// keep says when the process has died, and starts it again if that is wanted.
func (c *childProcess) keep(ctx context.Context) {
	for {
		c.mu.Lock()
		exited := c.exited
		c.mu.Unlock()
		<-exited
		if c.isStopping() || ctx.Err() != nil {
			return
		}
		c.stack.progress("%s (pid %d) has ended", c.name(), c.pid())
		if !c.stack.Restart {
			return
		}
		if c.rest(ctx) != nil {
			return
		}
		if err := c.start(ctx); err != nil {
			c.stack.progress("%v", err)
			continue
		}
		c.stack.progress("%s is back, pid %d", c.name(), c.pid())
	}
}

// rest is the time between a death and the restart.
func (c *childProcess) rest(ctx context.Context) error {
	c.mu.Lock()
	between := c.between
	c.between = nil
	if between == nil {
		c.died++
	}
	c.mu.Unlock()
	if between != nil {
		return between(ctx)
	}
	timer := time.NewTimer(restartAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (c *childProcess) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd.Process.Pid
}

func (c *childProcess) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// stop ends the process and waits for it: by the end of its standard input, and
// when that is of no use, by SIGKILL.
func (c *childProcess) stop() error {
	c.mu.Lock()
	c.stopping = true
	cmd, stdin, exited := c.cmd, c.stdin, c.exited
	c.mu.Unlock()
	_ = stdin.Close() // it may have gone already
	timer := time.NewTimer(c.stack.ShutdownTimeout + 5*time.Second)
	defer timer.Stop()
	select {
	case <-exited:
		return nil
	case <-timer.C:
		_ = cmd.Process.Kill() // it may have gone by now
		<-exited
		return fmt.Errorf("%s did not stop in time and was killed", c.name())
	}
}
