package dispatch

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

const (
	// paceLook is how often a sweeper checks whether its last page has been attempted.
	paceLook = 100 * time.Millisecond
	// paceSample is how many events of a page are checked.
	paceSample = 100
	// defaultPaceFor is the longest wait for the attempts of a page. Sweeping goes on after it, in case no worker runs
	// or the page waits for something that concerns one tenant only.
	defaultPaceFor = 5 * time.Second
)

// pace delays the next page of the outbox until most events of the last page have been attempted. Workflows that are
// started faster than requests can be made compete for their webhook's places in flight. A delivery that gets no place
// in time is deferred to the webhook's drain, which costs more than the attempt and takes long after the outbox is
// empty. An event in the outbox costs nothing.
type pace struct {
	// sample has events of the last page, and began is when the page was started.
	sample []hook.EventID
	began  time.Time
}

// start takes note of a page that was started. more says that there is another page; without one nothing is delayed.
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

// delays reports whether the next page has to wait: more than half of the last page has not been attempted, and it was
// started less than most ago.
func (p *pace) delays(ctx context.Context, s SweeperStore, most time.Duration) (bool, error) {
	if len(p.sample) == 0 || time.Since(p.began) >= most {
		return false, nil
	}
	left, err := s.Unattempted(ctx, p.sample)
	return 2*left > len(p.sample), err
}
