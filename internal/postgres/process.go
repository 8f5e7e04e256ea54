//go:build unix

package postgres

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child process that ends with this process. A Ctrl-C on the terminal does
// not reach it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended
	err  error         // how it ended; to be read after done
}

// spawn starts cmd in a session of its own, as cred if that is not nil.
//
// The kernel sends the parent-death signal when the *thread* that forked the
// child ends, and the Go runtime may end any thread whose goroutine finished
// while locked to it. So one goroutine locks a thread, forks, and waits there
// for as long as the child lives.
func spawn(cmd *exec.Cmd, cred *syscall.Credential) (*process, error) {
	cmd.SysProcAttr = childAttr(cred)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		stopWatch, err := watchParent(cmd.Process.Pid)
		if err != nil {
			_ = cmd.Process.Kill() // the child is waited for below
		}
		started <- err
		p.err = cmd.Wait()
		stopWatch()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) signal(sig os.Signal) {
	// The only error is that the process has ended; done reports that.
	_ = p.cmd.Process.Signal(sig)
}

// watchdog replaces the parent-death signal on kernels without one: a
// shell waits until this process's end of a pipe closes, which happens however this process ends,
// and then signals pid. The function that it returns stops the watchdog.
func watchdog(pid int) (func(), error) {
	r, w, err := os.Pipe()
	if err != nil {
		return func() {}, err
	}
	defer r.Close() //nolint:errcheck // the shell has its own copy
	sh, err := watch(pid, r)
	if err != nil {
		_ = w.Close() // nothing was written
		return func() {}, err
	}
	return func() {
		// In this order: the shell must not see the pipe close while it
		// lives, because the pid may belong to another process by now.
		_ = sh.Process.Kill()
		_ = sh.Wait() // reports the kill
		_ = w.Close() // nothing was written
	}, nil
}

func watch(pid int, r *os.File) (*exec.Cmd, error) {
	sh := &exec.Cmd{
		Path:        "/bin/sh",
		Args:        []string{"sh", "-c", `read _; kill -QUIT "$0"`, itoa(pid)},
		Stdin:       r,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	return sh, sh.Start()
}
