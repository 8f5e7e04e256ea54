// Package enginetest races the engine's state machine against itself: random sequences of
// what clients, receivers, operators and failures do, over real PostgreSQL and in skipped
// time, and what must hold after each step. It has tests only; docs/architecture.md says
// what they hold the engine to.
package enginetest
