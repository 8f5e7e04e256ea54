// Command dev runs all of Grapnel with one command: PostgreSQL, the Temporal
// server with its Web UI, Grapnel itself and a sample receiver. It is a module
// of its own, so that the Temporal server is no dependency of the product, and
// nothing in it is meant for production: PostgreSQL trusts every local user.
package main

func main() {}
