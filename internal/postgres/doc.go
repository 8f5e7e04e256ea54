// Package postgres runs a PostgreSQL server for tests and for the development stack, on machines without one. It finds
// the binaries (or downloads them), and runs initdb and the server as an unprivileged child process.
//
// It must not import any other package of Grapnel. Its invariant: a server that it started never outlives the process
// that started it, however that process ends. It needs a Unix.
package postgres
