// Package archtest has tests about the shape of the repository and no code: the import rules, what the product's binary
// may be linked with, the length of files, the links and cited numbers of the documents. The import rules stand here only
// (docs/architecture.md explains them), so that `go test ./...` refuses a wrong import. Its invariant: every rule has the
// reason that its failure prints.
package archtest
