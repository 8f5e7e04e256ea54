// Command dev runs all of Grapnel with one command: PostgreSQL, the Temporal server with its Web UI, Grapnel itself and a
// sample receiver. dev bench measures it, dev crash breaks it. It is a module of its own, so that the Temporal server is
// no dependency of the product, and nothing in it is meant for production: PostgreSQL trusts every local user.
package main

import (
	"os"

	"grapnel/cmd/dev/program"
)

func main() { os.Exit(program.Main()) }
