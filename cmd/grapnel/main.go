// Command grapnel is the product: the API, the worker, and the commands for operators
// and for users of the API. Flags and environment variables configure it; grapnel COMMAND
// --help lists them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"grapnel/internal/cli"
	"grapnel/internal/command"
	"grapnel/internal/config"
)

type commands struct {
	Serve       serveCommand       `cmd:"" help:"Run API and worker in one process."`
	API         apiCommand         `cmd:"" name:"api" help:"Run the API alone."`
	Worker      workerCommand      `cmd:"" help:"Run a worker alone."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the database up to date."`
	OpenAPI     openAPICommand     `cmd:"" name:"openapi" help:"Print the OpenAPI document."`
	Keys        keysCommand        `cmd:"" help:"Create, list and revoke API keys."`
	Tenants     tenantsCommand     `cmd:"" help:"Create and list tenants on the database; show, put, suspend, delete and list them through the API."`
	Secrets     secretsCommand     `cmd:"" help:"Encrypt secrets again with a new key."`
	SigningKeys signingKeysCommand `cmd:"" help:"List and rotate the keys of v1a signatures."`
	Healthcheck healthcheckCommand `cmd:"" help:"Exit with 0 if the API at --api-addr is alive, or with --worker the worker at --metrics-addr. For containers."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
	cli.Commands
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "grapnel:", err)
		os.Exit(cli.ExitCode(err))
	}
}

// run parses args and runs the command. It returns instead of ending the process.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	var c commands
	return command.Run(&c, args, func(parsed *kong.Context) error { return parsed.Run() },
		kong.Name("grapnel"), kong.Description("Webhook delivery: signed, retried, logged, never lost.\n\n"+cli.ExitCodes),
		kong.ExplicitGroups([]kong.Group{{Key: "api", Title: cli.GroupTitle}}), kong.Bind(cli.Standard(stdout)),
		kong.DefaultEnvars(config.EnvPrefix), kong.Writers(stdout, os.Stderr),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(stdout, (*io.Writer)(nil)))
}
