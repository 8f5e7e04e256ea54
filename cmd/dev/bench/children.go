package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"grapnel/cmd/dev/stack"
)

const (
	// benchReady bounds the start of a process.
	benchReady = 2 * time.Minute
	// benchStop bounds the stop of a process. The stack finishes its requests first.
	benchStop = 30 * time.Second
	// resultPrefix begins the line with the rows of a load.
	resultPrefix = "result "
)

// benchChild is a process of the benchmark. It ends when its standard input is closed, and so never outlives this
// process.
type benchChild struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer // may be read once exited is closed
	lines  chan string
	exited chan struct{}
	// ready holds the pairs of the line that begins with "ready ".
	ready map[string]string
}

// startBenchChild starts this binary again.
func startBenchChild(args ...string) (*benchChild, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &benchChild{lines: make(chan string, 100), exited: make(chan struct{}), ready: map[string]string{}}
	c.cmd = exec.Command(exe, append([]string{Name}, args...)...) //nolint:gosec,noctx // this binary; stopped by its standard input
	c.cmd.Env = benchEnv(os.Environ())
	// A group of its own keeps a Ctrl-C from the child: this process stops its children itself, in its own order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Stderr = &c.stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		scanner := bufio.NewScanner(stdout)
		scanner.Buffer(nil, 64<<20)
		for scanner.Scan() {
			if line := scanner.Text(); strings.HasPrefix(line, "ready ") || strings.HasPrefix(line, resultPrefix) {
				c.lines <- line
			}
		}
		_ = c.cmd.Wait() // callers check the process state where it matters
		close(c.exited)
	}()
	return c, nil
}

// benchEnv removes variables that would change the measured stack.
func benchEnv(environ []string) []string {
	var out []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if name == "DATABASE_URL" || strings.HasPrefix(name, "TEMPORAL_") || strings.HasPrefix(name, "GRAPNEL_") && !strings.HasPrefix(name, "GRAPNEL_DEV_") {
			continue
		}
		out = append(out, pair)
	}
	return out
}

// line returns the next line of the protocol.
func (c *benchChild) line(ctx context.Context) (string, error) {
	select {
	case line := <-c.lines:
		return line, nil
	case <-c.exited:
		select {
		case line := <-c.lines: // the process wrote the line and then ended
			return line, nil
		default:
		}
		return "", fmt.Errorf("%s ended: %s", strings.Join(c.cmd.Args[1:], " "), c.stderr.String())
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// awaitReady waits until the process reports that it is ready.
func (c *benchChild) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, benchReady, stack.ErrNotReady)
	defer cancel()
	line, err := c.line(ctx)
	if err != nil {
		return err
	}
	for _, pair := range strings.Fields(line)[1:] {
		name, value, _ := strings.Cut(pair, "=")
		c.ready[name] = value
	}
	return nil
}

// stop ends the process and waits for it.
func (c *benchChild) stop() error {
	_ = c.stdin.Close() // the process may have ended already
	timer := time.NewTimer(benchStop)
	defer timer.Stop()
	select {
	case <-c.exited:
		return nil
	case <-timer.C:
		_ = c.cmd.Process.Kill() // the process may have ended by now
		<-c.exited
		return fmt.Errorf("%s did not stop in time and was killed", strings.Join(c.cmd.Args[1:], " "))
	}
}

// startStack starts a fresh stack for a case.
func (b *bencher) startStack(ctx context.Context, dir string, spec *Spec, number int) (*benchChild, error) {
	addrs, err := stack.FreeAddrs(ctx, stack.Loopback, 4)
	if err != nil {
		return nil, err
	}
	args := []string{
		benchStackRole, "--data-dir=" + dir, "--no-receiver", "--metrics-addr=", "--shutdown-timeout=10s", "--layout=" + b.Processes, "--binary=" + b.Binary,
		"--api-addr=" + addrs[0].String(), "--temporal-addr=" + addrs[1].String(), "--ui-addr=" + addrs[2].String(), "--second-api-addr=" + addrs[3].String(),
	}
	if spec.Case == CaseOutage {
		var delays []string
		for _, d := range OutageSchedule(spec.OutageLength()) {
			delays = append(delays, d.String())
		}
		args = append(args, "--retry-schedule="+strings.Join(delays, ","))
	}
	if b.Profile != "" {
		if err := os.MkdirAll(b.Profile, 0o750); err != nil {
			return nil, err
		}
		args = append(args, "--profile="+filepath.Join(b.Profile, fmt.Sprintf("%s-%d.pprof", spec.Case, number+1)))
	}
	if b.Statements != "" {
		args = append(args, "--statements")
	}
	c, err := startBenchChild(append(args, b.StackFlag...)...)
	if err != nil {
		return nil, err
	}
	if err := c.awaitReady(ctx); err != nil {
		return c, err
	}
	if b.report.Machine.PostgreSQL, b.report.Machine.Durability, err = durability(ctx, c.ready["postgres"]); err != nil {
		return c, err
	}
	spec.Targets, spec.Key = strings.Split(c.ready["api"], ","), c.ready["key"]
	spec.Database = c.ready["postgres"]
	if spec.TemporalDatabase, err = onServer(c.ready["postgres"], stack.TemporalDatabase); err != nil {
		return c, err
	}
	spec.Processes, b.report.Machine.Layout, err = processesOf(c.ready)
	if b.Processes == layoutBinary {
		b.report.Machine.Layout = "grapnel serve; Temporal server; PostgreSQL, which serves both; load and receiver in a process of their own"
	}
	return c, err
}

// processesOf returns the stack's processes. Parts that share a process are one.
func processesOf(ready map[string]string) (processes []Process, layout string, err error) {
	if strings.Contains(ready["pid_api"], ",") {
		return pairProcesses(ready)
	}
	pid := map[string]int{}
	for _, part := range []string{"api", "worker", "temporal", "postgres"} {
		if pid[part], err = strconv.Atoi(ready["pid_"+part]); err != nil {
			return nil, "", fmt.Errorf("pid of %s: %w", part, err)
		}
	}
	postgres := Process{Name: "postgres", PID: pid["postgres"], Children: true}
	switch pid["api"] {
	case pid["temporal"]:
		return []Process{{Name: "stack", PID: pid["api"]}, postgres}, "API, worker and Temporal server in one process (stack); PostgreSQL; load and receiver in a process of their own", nil
	case pid["worker"]:
		return []Process{{Name: "grapnel", PID: pid["api"]}, {Name: "temporal", PID: pid["temporal"]}, postgres},
			"API and worker in one process (grapnel); Temporal server; PostgreSQL, which serves both; load and receiver in a process of their own", nil
	default:
		return []Process{{Name: "api", PID: pid["api"]}, {Name: "worker", PID: pid["worker"]}, {Name: "temporal", PID: pid["temporal"]}, postgres},
			"API, worker, Temporal server and PostgreSQL in processes of their own; load and receiver in another", nil
	}
}

// startFloor starts the process of the floor.
func (b *bencher) startFloor(ctx context.Context, spec *Spec) (*benchChild, error) {
	c, err := startBenchChild(benchFloorRole)
	if err != nil {
		return nil, err
	}
	if err := c.awaitReady(ctx); err != nil {
		return c, err
	}
	spec.Targets = []string{c.ready["url"]}
	spec.Processes = []Process{{Name: benchFloorRole, PID: c.cmd.Process.Pid}}
	return c, nil
}

// runBenchFloor runs the floor in a process of its own.
func runBenchFloor(ctx context.Context, stdout io.Writer) error {
	l, err := stack.Listen(ctx, "floor", stack.Loopback+":0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "ready url=http://%s\n", l.Addr())
	return NewFloor().Serve(ctx, l)
}

// load runs a case in a process of its own and returns its rows.
func load(ctx context.Context, spec *Spec) (rows []Result, err error) {
	c, err := startBenchChild(benchLoadRole)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := json.NewEncoder(c.stdin).Encode(spec); err != nil {
		return nil, err
	}
	line, err := c.line(ctx)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal([]byte(strings.TrimPrefix(line, resultPrefix)), &rows)
	return rows, err
}

// runBenchLoad runs a load in a process of its own. It reads the spec from standard input, because the spec holds an
// API key.
func runBenchLoad(ctx context.Context, stdout io.Writer) error {
	var spec Spec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	rows, err := Run(stack.UntilStdinEnds(ctx), spec)
	if err != nil {
		return err
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s%s\n", resultPrefix, text)
	return err
}
