// Package temporal has what an operator of Temporal's databases can use for Grapnel. The development stack uses the
// same files.
package temporal

import (
	_ "embed" // VisibilityIndexes
	"strings"
)

//go:embed visibility-indexes.sql
var visibilityIndexes string

// VisibilityIndexes returns the query that returns the statements that drop the indexes of Temporal's visibility store that
// Grapnel has no use for. They can't run in a transaction, because they don't stop a server that runs.
func VisibilityIndexes() string {
	return strings.TrimSuffix(strings.TrimSpace(visibilityIndexes), `\gexec`) // psql's command
}
