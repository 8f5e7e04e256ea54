package app

import (
	"time"

	"grapnel/internal/hook"
)

// stopPlan divides --shutdown-timeout among the stages of a shutdown. The stages come one
// after the other. Each may also use the time that the previous ones left, but not the time that
// a later one needs. The rest is for closing connections.
type stopPlan struct {
	// requests is the time for the API's requests, --drain-delay included.
	requests time.Duration
	// starts is the time for starting the workflows of accepted events. Another process's
	// sweeper starts the remaining ones.
	starts time.Duration
	// worker is the time for the worker's attempts.
	worker time.Duration
}

const (
	mostForStarts = 5 * time.Second
	// longestWork is the time for the longest attempt and its recording. A worker
	// with less time may cut off a request, whose outcome is then unknown.
	longestWork = hook.MaxTimeout + 3*time.Second
)

// planStop returns the plan for a time-out of all. In a process with both roles the worker stops last, because API
// requests that wait for a sending by hand need it. It has priority up to longestWork:
// with the default of 45 s it gets 33 s, requests get 7.5 s, starts 3 s. Further
// time goes to requests, up to a third of all.
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
