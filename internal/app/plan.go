package app

import (
	"time"

	"grapnel/internal/hook"
)

// stopPlan divides --shutdown-timeout among the stages of a stop. They come one
// after the other, and what one leaves the next may use; but none may use up what
// a later one needs. What is over is for closing connections.
type stopPlan struct {
	// requests is what the API's requests get, --drain-delay included.
	requests time.Duration
	// starts is what goes on starting the workflows of accepted events; the rest is
	// left to another process's sweeper.
	starts time.Duration
	// worker is what the worker's attempts get.
	worker time.Duration
}

const (
	mostForStarts = 5 * time.Second
	// longestWork is the longest attempt and what it takes to record it: a worker
	// that gets less may cut off a request whose outcome nobody then knows.
	longestWork = hook.MaxTimeout + 3*time.Second
)

// planStop makes the plan. In one process the worker comes last, because requests
// that wait for a sending by hand need it, and has priority up to longestWork:
// with the default of 45 s it is 33 s, requests get 7.5 s, starts 3 s. What is
// more than that goes to requests, up to a third of all.
func planStop(all time.Duration, roles Roles) stopPlan {
	p := stopPlan{starts: min(all/15, mostForStarts)}
	rest := all - p.starts - all/30
	switch {
	case !roles.Worker:
		p.requests = rest
	case !roles.API:
		p.worker = rest
	default:
		p.worker = min(rest*5/6, longestWork)
		p.requests = min(rest-p.worker, all/3)
		p.worker = rest - p.requests
	}
	return p
}
