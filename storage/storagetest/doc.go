// Package storagetest helps to test deliveries: a store in memory, receivers with scripted answers, and the
// conformance suite (Run), which shows that the store in memory and the one on PostgreSQL behave alike. The clock
// is the caller's, so that hours pass in milliseconds.
//
// It is for tests only and must not import storage or Temporal. Its invariant: everything that was sent and
// everything that was recorded can be read back.
package storagetest
