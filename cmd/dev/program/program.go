// Package program selects the command of cmd/dev: bench, crash, or the development stack without one. It is separate
// from the main package because the end-to-end tests start themselves as this program.
package program

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"grapnel/cmd/dev/bench"
	"grapnel/cmd/dev/crash"
	"grapnel/cmd/dev/stack"
	"grapnel/internal/wait"
)

// Main runs the program and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := Run(followParent(ctx), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		return 1
	}
	return 0
}

// Run runs the command that args name. When it returns, everything that it started has ended, even after a failed
// start.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case bench.Name:
			return bench.Command(ctx, args[1:], stdout, stderr)
		case crash.Name:
			return crash.Command(ctx, args[1:], stdout, stderr)
		}
	}
	return stack.Command(ctx, args, stdout, stderr)
}

// followParent ends the context when the parent process ends, if the parent is "go run": it does not pass SIGTERM on,
// and would leave this process behind.
func followParent(ctx context.Context) context.Context {
	exe, err := os.Executable()
	if err != nil || !builtByGoRun(exe) {
		return ctx
	}
	parent := os.Getppid()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for os.Getppid() == parent {
			if wait.For(ctx, stack.PollInterval) != nil {
				return
			}
		}
		cancel()
	}()
	return ctx
}

// builtByGoRun reports whether exe is a temporary binary of "go run".
func builtByGoRun(exe string) bool {
	return strings.Contains(exe, string(filepath.Separator)+"go-build")
}
