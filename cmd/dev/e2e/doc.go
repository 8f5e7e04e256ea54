// Package e2e has the end-to-end tests and no code. They start the development stack, as a process of its own, and use it
// as clients and receivers do. Most share one stack; they take about eight minutes.
package e2e
