// Package archtest holds tests about the shape of the repository and no code: which package may import which, what the
// product's binary may be linked with, how long a file may grow, and whether the Compose file agrees with the binary.
// The import rules repeat those of depguard in .golangci.yml, so that `go test ./...` alone refuses a wrong turn.
// Its invariant: every rule carries the reason that its failure prints.
package archtest
