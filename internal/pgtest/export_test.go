//go:build unix

package pgtest

// Keeps reports whether connections are kept.
func Keeps() bool { return shared.keeper != nil }

// Sessions returns how many clients are connected to a database.
func Sessions(database string) int {
	_, n := shared.keeper.state(database)
	return n
}
