package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// StartBinary starts the stack with the given grapnel binary as "grapnel serve", and the Temporal server in a process
// of its own. Unlike StartApart, it shows what the product itself costs: this program has the Temporal server linked
// in. It starts no Web UI.
func (s *Stack) StartBinary(ctx context.Context, binary string) error {
	temporal, err := s.StartBelow(ctx)
	if err != nil {
		return err
	}
	p, err := s.serveBinary(binary)
	if err != nil {
		return err
	}
	s.OnStop(p.stop)
	pid := p.cmd.Process.Pid
	s.Grapnel = grapnelProcesses{apiPID: pid, workerPID: pid, temporalPID: temporal.PID(), Ended: p.ended}
	limited, cancel := context.WithTimeoutCause(ctx, ReadyTime, ErrNotReady)
	defer cancel()
	if err := WaitHTTP(limited, "http://"+s.APIAddr+"/readyz"); err != nil {
		return fmt.Errorf("%s: %w: see %s", binary, err, p.log)
	}
	return s.announce()
}

// served is a running grapnel binary.
type served struct {
	cmd *exec.Cmd
	log string
	// ended receives the error of an end that nobody asked for, and is closed when the process has ended.
	ended chan error
	// limit is how long the process may take to stop.
	limit time.Duration
}

// serveBinary starts the binary.
func (s *Stack) serveBinary(binary string) (*served, error) {
	o := s.Options
	args := append([]string{"serve"}, forwarded(o.Config)...)
	p := &served{
		cmd: exec.Command(binary, args...), //nolint:gosec,noctx // the developer's choice; stopped by a signal
		log: s.State.Path("grapnel.log"), ended: make(chan error, 1), limit: o.ShutdownTimeout + 5*time.Second,
	}
	p.cmd.Env = append(s.secretEnvironment(s.storeURL),
		"TEMPORAL_ADDRESS="+s.TemporalAddr, "TEMPORAL_NAMESPACE="+TemporalNamespace)
	p.cmd.SysProcAttr = diesWithParent()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the process has its own copy
	p.cmd.Stderr = log
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run starts the process and waits for its end. It keeps its thread all the time, because the signal of
// diesWithParent is sent when the thread ends that started the process.
func (p *served) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // the state says how it ended
		p.ended <- fmt.Errorf("grapnel has ended: %v: see %s", p.cmd.ProcessState, p.log)
	}
	close(p.ended)
}

// stop sends SIGTERM and waits for the end; it kills the process if that takes too long.
func (p *served) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // the process may have ended already
	timer := time.AfterFunc(p.limit, func() { _ = p.cmd.Process.Kill() })
	for range p.ended { // until it is closed
	}
	if !timer.Stop() {
		return errors.New("grapnel did not stop in time and was killed")
	}
	return nil
}
