// Package storagetest holds what tests of deliveries run on: a store in memory, receivers that
// answer by a script, and the conformance suite (Run), by which the store in memory and the one
// on PostgreSQL are shown to decide alike. The clock is the caller's, so that hours pass in
// milliseconds.
//
// It is for tests only and must not import storage or Temporal. Its invariant: everything that
// was sent and everything that was recorded can be read back.
package storagetest
