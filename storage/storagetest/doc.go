// Package storagetest holds what tests of delivering run against: a store in
// memory that decides as storage does, and receivers that answer by a script.
// Both live on a clock that they are given, so that hours pass in milliseconds.
// It is for tests only and must not import testing, storage or Temporal. Its
// invariant: whatever was sent and whatever was recorded can be read back.
package storagetest
