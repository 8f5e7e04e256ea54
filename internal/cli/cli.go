// Package cli is the part of the command line that speaks to the API as its users
// do: webhooks, events and deliveries, a local receiver, and the check of a
// signature. It calls the API through the generated Go client only, and must not
// import the store, the server's packages or Temporal. Its invariant: what is for
// programs goes to standard output, everything else to standard error, and the
// exit code tells what kind of failure it was.
package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Commands are what package main embeds.
type Commands struct {
	Webhooks   webhooksCommand   `cmd:"" group:"api" help:"List, create, change, test and delete webhooks; look at their deliveries."`
	Events     eventsCommand     `cmd:"" group:"api" help:"Publish events."`
	Deliveries deliveriesCommand `cmd:"" group:"api" help:"Look at a delivery; send it again."`
	Replays    replaysCommand    `cmd:"" group:"api" help:"Look at replays; pause, resume and cancel them."`
	Listen     listenCommand     `cmd:"" group:"api" help:"Receive webhooks here: register, verify, print, answer as told, and unregister at the end."`
	Verify     verifyCommand     `cmd:"" group:"api" help:"Check the signature of a saved request; the exit code says whether it fits."`
	Completion completionCommand `cmd:"" group:"api" help:"Print what makes a shell complete commands and flags."`
}

// GroupTitle is the title of the commands' group in the help.
const GroupTitle = "For users of the API (--url, --key):"

// ExitCodes is their documentation, for the help.
const ExitCodes = `Exit codes:
  0  done
  1  it failed for another reason
  2  the command line, a file or a request is wrong
  3  the API can't be reached, or can't serve now
  4  the key is missing, wrong, or may not do that
  5  there is no such thing
  6  the answer is no: a signature does not fit, a delivery failed, an event was refused`

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Colour says that people look at Out and want colours.
	Colour bool
	// Live says that people look at Err, so that lines may be written over.
	Live bool
}

// Standard are the process' streams, with out for its output. There are no colours
// where NO_COLOR is set (no-color.org).
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

// open opens a file, or standard input for -, and tells its size in bytes where it
// has one.
func (s Streams) open(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(s.In), 0, nil
	}
	f, err := os.Open(name) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, 0, failf(codeWrong, "%w", err)
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return f, info.Size(), nil
	}
	return f, 0, nil
}
