// Package enginetest runs random sequences of the actions of clients, receivers and operators, and of failures,
// against the engine's state machine, over real PostgreSQL and in skipped time. After each step it checks the
// invariants. It has tests only; docs/architecture.md describes the invariants.
package enginetest
