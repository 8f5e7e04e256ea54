// Package pgtest gives every test a PostgreSQL database of its own, cloned from a migrated template. It starts a server
// at first use (internal/postgres), or uses the one that TEST_DATABASE_URL or DATABASE_URL names.
//
// It must not import storage or any other package of Grapnel but internal/postgres: callers pass their migrations in. It
// needs a Unix.
package pgtest
