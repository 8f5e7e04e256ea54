// Package archtest has no code, only tests of the repository's structure: the import rules, the packages that the
// product's binary may be linked with, the length of files, the links and cited numbers of the documents. The import
// rules are defined only here (docs/architecture.md explains them), so `go test ./...` fails on a wrong import. Its
// invariant: every rule has a reason, which its failure prints.
package archtest
