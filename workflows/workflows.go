// Package workflows holds the workflows, the options of their starts and activities, and the
// retry policy that encodes the schedule. Their names, inputs and results are in
// internal/contract; of activities it uses method references only. It is deterministic: no
// clock, no randomness, no I/O, which belong in activities. Inputs carry ids and text for a
// person who reads the Temporal Web UI, never payloads or secrets.
package workflows

import "grapnel/internal/hook"

// Workflows are the workflows and their configuration; register all of them with the worker.
type Workflows struct {
	// Schedule is the retry schedule to which RetryPolicy is fitted.
	Schedule hook.Schedule
}
