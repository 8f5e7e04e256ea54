// Package e2e contains the end-to-end tests and no product code. The tests start the development stack as a
// separate process, and use it as clients and receivers do. Most tests share one stack; together they take about
// eight minutes.
package e2e
