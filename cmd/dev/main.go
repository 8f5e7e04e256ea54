// Command dev runs all of Grapnel with one command: PostgreSQL, the Temporal
// server with its Web UI, Grapnel itself and a sample receiver. It is a module
// of its own, so that the Temporal server is no dependency of the product, and
// nothing in it is meant for production: PostgreSQL trusts every local user.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"grapnel/internal/config"
)

func main() {
	os.Exit(mainCode())
}

// mainCode is main with its exit code, for the tests' processes too.
func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(followParent(ctx), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		return 1
	}
	return 0
}

// run is the program without the process around it. Everything it started has
// ended when it returns, also when the start failed half way.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == benchCommand {
		return runBench(ctx, args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == crashCommand {
		return runCrash(ctx, args[1:], stdout, stderr)
	}
	var o options
	exited := errors.New("exit") // what kong's --help does
	parser, err := kong.New(&o,
		kong.Name("dev"), kong.Description("All of Grapnel with one command, for development. TEMPORAL_* and DATABASE_URL of the environment are not used; --database-url is."),
		kong.DefaultEnvars(config.EnvPrefix), kong.Writers(stdout, stderr),
		kong.Exit(func(int) { panic(exited) }))
	if err != nil {
		return err
	}
	defer func() {
		if v := recover(); v != nil && v != any(exited) {
			panic(v)
		}
	}()
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	if o.Role != "" {
		return runRole(ctx, &o, stdout, stderr)
	}
	return runStack(ctx, &o, stdout, stderr)
}
