// Package pgtest runs PostgreSQL for tests and for the development stack on
// machines where nobody has set one up. It finds the binaries (or downloads
// them), runs initdb and the server as an unprivileged child process, and
// gives every test a database of its own cloned from a migrated template.
//
// It must not import storage or any other package of Grapnel: callers pass
// their migrations in. Its invariant: a server it started never outlives the
// process that started it, however that process ends. It needs a Unix.
package pgtest
