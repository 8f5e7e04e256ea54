// Package cli has the commands for users of the API: webhooks, events and deliveries, a
// local receiver, and the verification of a signature. It calls the API only through the
// generated Go client, and must not import the store, the server's packages or Temporal.
// Results go to standard output, everything else to standard error, and the exit code
// names the kind of failure.
package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Commands are the commands of this package; package main embeds them.
type Commands struct {
	Webhooks   webhooksCommand   `cmd:"" group:"api" help:"List, create, change, test and delete webhooks; show their deliveries."`
	Events     eventsCommand     `cmd:"" group:"api" help:"Publish events; list them; show who got one."`
	EventTypes eventTypesCommand `cmd:"" name:"event-types" group:"api" help:"List, show, add, change and delete event types."`
	Deliveries deliveriesCommand `cmd:"" group:"api" help:"List and show deliveries; send one again; find out why a signature does not verify."`
	Replay     replayCommand     `cmd:"" group:"api" help:"Send events of the past again: to several webhooks or all, or chosen deliveries."`
	Replays    replaysCommand    `cmd:"" group:"api" help:"Show, pause, resume and cancel replays."`
	Portal     portalCommand     `cmd:"" group:"api" help:"Create, list and revoke links to the application for customers."`
	Find       findCommand       `cmd:"" group:"api" help:"Show what an id names, and whose it is."`
	Audit      auditCommand      `cmd:"" group:"api" help:"List who has changed what."`
	Usage      usageCommand      `cmd:"" group:"api" help:"Count the account's events, deliveries and attempts by day or hour."`
	Listen     listenCommand     `cmd:"" group:"api" help:"Receive webhooks on this machine: register a webhook, verify and print each request, answer with the given status, and delete the webhook at the end."`
	Verify     verifyCommand     `cmd:"" group:"api" help:"Verify the signature of a saved request, and explain what is wrong. Exit code 0: valid, 6: not valid."`
	Completion completionCommand `cmd:"" group:"api" help:"Print a script that makes a shell complete commands and flags."`
}

// GroupTitle is the title of the commands' group in the help.
const GroupTitle = "For users of the API (--url, --key):"

// ExitCodes documents the exit codes in the help.
const ExitCodes = `Exit codes:
  0  success
  1  another failure
  2  the command line, a file or a request is wrong
  3  the API cannot be reached, or cannot serve now
  4  the key is missing or wrong, or lacks the permission
  5  not found
  6  the answer is no: an invalid signature, a failed delivery, a refused event`

// Streams are the input and outputs of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Colour reports whether Out is a terminal on which colours are wanted.
	Colour bool
	// Live reports whether Err is a terminal on which a line can be overwritten.
	Live bool
}

// Standard returns the streams of the process, with out as its output. There are no colours
// if NO_COLOR is set (no-color.org).
func Standard(out io.Writer) Streams {
	return Streams{
		In: os.Stdin, Out: out, Err: os.Stderr,
		Colour: terminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		Live:   terminal(os.Stderr) && os.Getenv("TERM") != "dumb",
	}
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// open opens a file, or standard input for "-". It returns the size in bytes of a regular file, and 0
// otherwise.
func (s Streams) open(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(s.In), 0, nil
	}
	f, err := os.Open(name) //nolint:gosec // the user names the file
	if err != nil {
		return nil, 0, failf(codeWrong, "%w", err)
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return f, info.Size(), nil
	}
	return f, 0, nil
}
