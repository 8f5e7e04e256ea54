// Package hook has Grapnel's domain: webhooks, events, deliveries and attempts, their identifiers, the patterns by
// which webhooks subscribe to events, the retry schedule, the verdict on an attempt, and the one error type.
//
// It has plain data and pure functions only: the package imports the standard library alone, reads no clock, uses no
// randomness and does no I/O. Every other package uses its types.
package hook
