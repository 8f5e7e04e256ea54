// Package egresstest holds the destinations that nobody may have requests sent
// to, and a name server that answers for them: one table for the tests of the
// guard, of the API and of the whole stack. It is for tests only and must not
// import testing, or any package of ours. Its invariant: every way to a forbidden
// address that we know of is a row of the table.
package egresstest
