// Package egresstest has a table of destinations that must never get a request,
// and a name server for them. The tests of the
// guard, of the API and of the whole stack share the table. The package is for tests only and must not
// import testing, or any other package of Grapnel. Its invariant: every known way to a forbidden
// address is a row of the table.
package egresstest
