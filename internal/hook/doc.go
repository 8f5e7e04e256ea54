// Package hook holds Grapnel's domain: webhooks, events, deliveries and
// attempts, their identifiers, the subscription patterns that match them, the
// retry schedule, what an outcome of an attempt means, and the one error type.
//
// Everything here is plain data and pure functions over it: the package imports
// the standard library only, reads no clock, draws no randomness and does no
// I/O. Every other package speaks in its words.
package hook
