package dispatch

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

const (
	// paceLook is how often a sweeper looks whether its last page has been attempted.
	paceLook = 100 * time.Millisecond
	// paceSample is how many events of a page are looked at.
	paceSample = 100
	// defaultPaceFor is the longest wait for a page: where no worker runs, or one process's page
	// waits for something that other tenants don't, sweeping goes on.
	defaultPaceFor = 5 * time.Second
)

// pace holds a sweeper back while most of the page that it started last is still to be
// attempted. Workflows that are started faster than their requests can be made compete
// for their webhook's places in flight; what finds none in time is deferred to the
// webhook's drain, which costs more than the attempt, and goes on when the outbox is long empty. In
// the outbox an event costs nothing.
type pace struct {
	// sample are events of the last page, and began is when it was started.
	sample []hook.EventID
	began  time.Time
}

// start notes a page that was started. One that was the last is waited for by nobody.
func (p *pace) start(events []hook.EventID, more bool) {
	p.sample, p.began = nil, time.Now()
	if !more {
		return
	}
	step := max(len(events)/paceSample, 1)
	for i := 0; i < len(events); i += step {
		p.sample = append(p.sample, events[i])
	}
}

// holds reports whether the next page is to wait: more than half of the last one is still to
// be attempted, and it was started less than most ago.
func (p *pace) holds(ctx context.Context, b Backlog, most time.Duration) (bool, error) {
	if len(p.sample) == 0 || time.Since(p.began) >= most {
		return false, nil
	}
	left, err := b.Unattempted(ctx, p.sample)
	return 2*left > len(p.sample), err
}
