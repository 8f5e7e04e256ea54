package stack

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
	"grapnel/internal/wait"
)

// Roles of the processes of --processes=split and product. RoleServe is API and worker in one process.
const (
	RoleAPI      = "api"
	RoleWorker   = "worker"
	RoleServe    = "serve"
	RoleTemporal = "temporal"
)

// childReady is the line that a process prints when it is ready.
const childReady = "child ready"

// runRole runs the role of a process of its own. It returns when ctx ends, or when standard input is
// closed, which happens when the stack's process ends in any way.
func runRole(ctx context.Context, o *Options, stdout, stderr io.Writer) (err error) {
	ctx, cancel := context.WithCancel(UntilStdinEnds(ctx))
	defer cancel()
	if err := setTemporalEnvironment(o.TemporalAddr); err != nil {
		return err
	}
	app.TuneMemory()
	if o.Role == RoleTemporal {
		return runTemporalRole(ctx, o, stdout, stderr)
	}
	return runPartRole(ctx, o, stdout)
}

// runTemporalRole runs the Temporal server.
func runTemporalRole(ctx context.Context, o *Options, stdout, stderr io.Writer) (err error) {
	logger := slog.New(atLeast{slog.NewJSONHandler(stderr, nil), slog.LevelWarn})
	server, err := startTemporal(ctx, temporalOptions{Addr: o.TemporalAddr, DatabaseURL: o.DatabaseURL.Reveal(), Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	return serveRole(ctx, stdout, nil)
}

// runPartRole runs the API, the worker, or both.
func runPartRole(ctx context.Context, o *Options, stdout io.Writer) (err error) {
	p, err := startPart(ctx, o, func() app.Roles {
		return app.Roles{API: o.Role != RoleWorker, Worker: o.Role != RoleAPI}
	}, os.Stderr.Name())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if o.Role != RoleAPI {
		select {
		case <-p.app.WorkerStarted():
		case err := <-p.ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return serveRole(ctx, stdout, p.ended)
}

// serveRole reports that the process is ready, and waits until ctx ends or the part ends by itself.
func serveRole(ctx context.Context, stdout io.Writer, ended <-chan error) error {
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

// UntilStdinEnds returns a context that ends with the parent process, which has the other end of standard input.
func UntilStdinEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

// startChildren runs Temporal, and worker and API or both in one, as processes of this binary.
func (s *Stack) startChildren(ctx context.Context) error {
	roles := []string{RoleTemporal, RoleWorker, RoleAPI}
	if s.Processes == layoutProduct {
		roles = []string{RoleTemporal, RoleServe}
	}
	ended := make(chan error, 1)
	s.Grapnel.Ended = ended
	pids := map[string]int{}
	for _, role := range roles {
		c := &ChildProcess{Stack: s, Role: role}
		if err := s.StartChild(ctx, c); err != nil {
			return err
		}
		pids[role] = c.PID()
	}
	s.Grapnel.temporalPID = pids[RoleTemporal]
	s.Grapnel.workerPID = cmp.Or(pids[RoleWorker], pids[RoleServe])
	s.Grapnel.apiPID = cmp.Or(pids[RoleAPI], pids[RoleServe])
	limited, cancel := context.WithTimeoutCause(ctx, ReadyTime, ErrNotReady)
	defer cancel()
	return WaitHTTP(limited, "http://"+s.APIAddr+"/readyz")
}

// StartChild starts a process and registers its stop.
func (s *Stack) StartChild(ctx context.Context, c *ChildProcess) error {
	s.Progress("starting %s", c.Name())
	if err := c.start(ctx); err != nil {
		return err
	}
	s.OnStop(c.stop)
	go c.keep(ctx)
	return nil
}

// ChildProcess is a role that runs in a process of its own.
type ChildProcess struct {
	Stack *Stack
	Role  string
	// Suffix distinguishes processes of one role. It is empty if there is only one.
	Suffix string
	// APIAddr is where the API listens. The default is the stack's --api-addr.
	APIAddr string
	// DatabaseURL is the store's URL. The default is the stack's.
	DatabaseURL string
	// More are further arguments. They override the others.
	More []string
	// Bound bounds the process's memory; nil means no bound.
	Bound *MemoryBound

	mu       sync.Mutex
	cmd      *exec.Cmd
	stdin    io.Closer
	exited   chan struct{}
	stopping bool
	// up is true while the process is ready; started counts how often it has become ready.
	up      bool
	started int
	// between runs after the next end of the process and before its restart.
	between func(context.Context) error
	// died counts the ends of the process without a between function.
	died int
}

// database returns the URL of the process's database. Temporal's server does not use pgbouncer.
func (c *ChildProcess) database() string {
	if c.Role == RoleTemporal {
		return cmp.Or(c.DatabaseURL, c.Stack.PostgresURL)
	}
	return cmp.Or(c.DatabaseURL, c.Stack.storeURL)
}

// Name is the name of the process in messages and of its log file.
func (c *ChildProcess) Name() string { return c.Role + c.Suffix }

// start starts the process and waits until it is ready.
func (c *ChildProcess) start(ctx context.Context) error {
	log, err := os.OpenFile(c.Stack.State.Path(c.Name()+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own copy
	cmd, err := c.command()
	if err != nil {
		return err
	}
	cmd.Stderr = log
	stdout, stdin, err := c.launch(cmd)
	if err != nil {
		return err
	}
	ready, exited := make(chan struct{}, 1), make(chan struct{})
	go c.follow(cmd, stdout, ready, exited)
	c.mu.Lock()
	c.cmd, c.stdin, c.exited, c.up = cmd, stdin, exited, false
	c.mu.Unlock()
	return c.awaitReady(ctx, ready, exited, log.Name())
}

// command returns the process's command with its environment.
func (c *ChildProcess) command() (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, c.arguments()...) //nolint:gosec,noctx // this binary; stopped by its standard input
	cmd.Env = append(c.Stack.secretEnvironment(c.database()), c.Bound.environment()...)
	// A group of its own keeps a Ctrl-C from the process: the stack stops its processes itself, in its own order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// secretEnvironment returns the environment of a process of the stack with its secrets, which a process list would show
// among the arguments.
func (s *Stack) secretEnvironment(databaseURL string) []string {
	o := s.Options
	return append(os.Environ(),
		"GRAPNEL_DATABASE_URL="+databaseURL, "GRAPNEL_ENCRYPTION_KEY="+o.EncryptionKey.Reveal(),
		"GRAPNEL_ADMIN_KEY="+o.AdminKey.Reveal(), "GRAPNEL_DIRECT_DATABASE_URL="+o.DirectURL.Reveal())
}

// launch starts the command within its bound of memory, and returns the standard output and input.
func (c *ChildProcess) launch(cmd *exec.Cmd) (stdout io.Reader, stdin io.Closer, err error) {
	if stdin, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	if stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", c.Name(), err)
	}
	if err := c.Bound.add(cmd.Process.Pid); err != nil {
		c.Stack.Progress("%s: %v", c.Name(), err) // the suite measures its memory in any case
	}
	return stdout, stdin, nil
}

// follow reads the process's output until the process ends. It sends to ready when the process is ready, and closes
// exited when it has ended.
func (c *ChildProcess) follow(cmd *exec.Cmd, stdout io.Reader, ready chan<- struct{}, exited chan<- struct{}) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == childReady {
			ready <- struct{}{}
		}
	}
	_ = cmd.Wait() // the process's log shows why it ended
	c.mu.Lock()
	c.up = false
	c.mu.Unlock()
	close(exited)
}

// awaitReady waits until the process is ready or has ended. log is the name of its log file.
func (c *ChildProcess) awaitReady(ctx context.Context, ready, exited <-chan struct{}, log string) error {
	select {
	case <-ready:
		c.mu.Lock()
		c.up, c.started = true, c.started+1
		c.mu.Unlock()
		return nil
	case <-exited:
		return fmt.Errorf("%s ended while it started: see %s", c.Name(), log)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.stop())
	}
}

// arguments returns the process's arguments. They hold no secrets, because a process list shows them. If a flag
// occurs twice, the later one counts.
func (c *ChildProcess) arguments() []string {
	o := c.Stack.Options
	args := append(forwarded(o.Config), "--role="+c.Role, "--temporal-addr="+o.TemporalAddr, "--api-addr="+cmp.Or(c.APIAddr, o.APIAddr), "--drain-delay=0s")
	if c.Role != RoleAPI && c.Role != RoleServe {
		args = append(args, "--metrics-addr=") // only one process can have the port
	}
	if o.NameServer.IsValid() {
		args = append(args, "--name-server="+o.NameServer.String())
	}
	return append(args, c.More...)
}

// restartAfter is the pause before a restart, so that a process that cannot start is not restarted in a busy loop.
const restartAfter = 500 * time.Millisecond

// keep reports the end of the process and restarts it if --restart is set.
func (c *ChildProcess) keep(ctx context.Context) {
	for {
		c.mu.Lock()
		exited := c.exited
		c.mu.Unlock()
		<-exited
		if c.isStopping() || ctx.Err() != nil {
			return
		}
		cmd, _ := c.Current()
		c.Stack.Progress("%s (pid %d) has ended: %v", c.Name(), cmd.Process.Pid, cmd.ProcessState)
		if !c.Stack.Restart {
			return
		}
		if c.rest(ctx) != nil {
			return
		}
		if err := c.start(ctx); err != nil {
			c.Stack.Progress("%v", err)
			continue
		}
		c.Stack.Progress("%s is back, pid %d", c.Name(), c.PID())
	}
}

// rest waits between the end of the process and its restart.
func (c *ChildProcess) rest(ctx context.Context) error {
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
	return wait.For(ctx, restartAfter)
}

// PID returns the id of the running process.
func (c *ChildProcess) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd.Process.Pid
}

func (c *ChildProcess) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// stop ends the process and waits for it. It closes the standard input, and sends SIGKILL if the process does not end
// in time.
func (c *ChildProcess) stop() error {
	c.mu.Lock()
	c.stopping = true
	cmd, stdin, exited := c.cmd, c.stdin, c.exited
	c.mu.Unlock()
	_ = stdin.Close() // the process may have ended already
	timer := time.NewTimer(c.Stack.ShutdownTimeout + 5*time.Second)
	defer timer.Stop()
	select {
	case <-exited:
		return nil
	case <-timer.C:
		_ = cmd.Process.Kill() // the process may have ended by now
		<-exited
		return fmt.Errorf("%s did not stop in time and was killed", c.Name())
	}
}

// Current returns the running process, or the last one that ran, and a channel that is closed when it ends.
func (c *ChildProcess) Current() (cmd *exec.Cmd, exited <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd, c.exited
}

// Running returns the process's id, and whether it is ready and has not ended.
func (c *ChildProcess) Running() (pid int, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd.Process.Pid, c.up
}

// Deaths returns how often the process has ended without a signal from the suite.
func (c *ChildProcess) Deaths() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.died
}
