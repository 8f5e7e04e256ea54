// Package pgtest gives every test a PostgreSQL database of its own with the content of a migrated template. A
// database that a test gives back is used again after its rows were deleted. It is dropped if the test has changed
// anything but rows. Connections are used again, too (keeper). pgtest starts a server at first use (internal/postgres), or
// uses the one that TEST_DATABASE_URL or DATABASE_URL names. The template of Main is kept in the user's cache directory,
// for a day at most: only the first test process with new migrations runs them.
//
// It must not import storage or any other package of Grapnel but internal/postgres and internal/wait: callers pass
// their migrations in. It needs a Unix.
package pgtest
