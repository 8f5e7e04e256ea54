package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/hook"
)

// Backlog is what the sweeper needs of the store. Any number of processes may ask for
// the same at the same time.
type Backlog interface {
	Outbox
	// ClaimUnstarted claims accepted events that still wait in the outbox. Where there
	// are claims beside an error they have to be given back.
	ClaimUnstarted(ctx context.Context, c hook.OutboxClaim) (hook.OutboxPage, error)
	// Unclaim gives events back.
	Unclaim(ctx context.Context, events []hook.EventID) error
	// Unattempted counts those of the events of which a delivery is due, and neither attempted
	// nor deferred.
	Unattempted(ctx context.Context, events []hook.EventID) (int, error)
	// Targets are the first webhooks of each event.
	Targets(ctx context.Context, events []hook.EventID) (map[hook.EventID][]hook.Target, error)
	// LostDrains lists webhooks whose drain should have looked longer ago than age, or
	// should look now, and gives each as long again.
	LostDrains(ctx context.Context, age time.Duration, limit int) ([]hook.WebhookID, error)
	// LostReplays is LostDrains for replays.
	LostReplays(ctx context.Context, age time.Duration, limit int) ([]hook.ReplayID, error)
}

// Sweeper starts what was accepted and not started. Every process runs one. They sweep at the same time: each claims what it is
// about to start, and gives back what it could not.
type Sweeper struct {
	Starter  *Starter
	Backlog  Backlog
	Temporal WorkflowDescriber
	Resetter Resetter
	Health   Health
	Logger   *slog.Logger
	// Interval is how often it looks; default 2 s.
	Interval time.Duration
	// Age is how long a start may take before the sweeper takes over; default 5 s.
	Age time.Duration
	// PaceFor is how long a page of the outbox waits at most for the attempts of the page
	// before; default 5 s.
	PaceFor time.Duration

	pace pace
	// after is where the next page begins.
	after hook.EventID
	// steppedAt is when the steps were done last.
	steppedAt time.Time
	back      stepBack
	// told are what was logged of each step.
	told map[string]*teller
}

const (
	defaultSweepEvery = 2 * time.Second
	defaultSweepAge   = 5 * time.Second
)

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	if s.Interval == 0 {
		s.Interval = defaultSweepEvery
	}
	if s.Age == 0 {
		s.Age = defaultSweepAge
	}
	if s.PaceFor == 0 {
		s.PaceFor = defaultPaceFor
	}
	s.back.interval, s.told = s.Interval, map[string]*teller{}
	tell := teller{logger: s.Logger}
	sweep := time.NewTimer(s.Interval)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			more, held, err := s.round(ctx)
			if err != nil || s.back.failures == 0 { // or it is as it was
				tell.tell(ctx, "sweep", err)
			}
			pause := s.Interval
			switch {
			case !more || err != nil:
			case held:
				pause = min(pause, paceLook)
			default:
				pause = 0
			}
			sweep.Reset(pause)
		}
	}
}

// step is one of the things that a round does beside the outbox, each by itself: one that
// fails keeps no other from being done.
type step struct {
	name string
	do   func(ctx context.Context) error
}

func (s *Sweeper) steps() []step {
	return []step{
		{name: "start lost drains", do: s.startDrains},
		{name: "start lost replays", do: s.startReplays},
	}
}

// round does the steps, if it is time for them, and then starts a page of the outbox. More
// is that there is another one to be started, held that it is not to be started yet.
func (s *Sweeper) round(ctx context.Context) (more, held bool, err error) {
	due := time.Since(s.steppedAt) >= s.Interval
	if due {
		s.steppedAt = time.Now()
	}
	if over, err := s.back.over(ctx, s.Health); !over || err != nil {
		return false, false, err
	}
	if due {
		err = s.doSteps(ctx)
	}
	if err == nil {
		held, err = s.pace.holds(ctx, s.Backlog, s.PaceFor)
	}
	if err == nil && !held {
		more, err = s.page(ctx)
	}
	switch {
	case errors.Is(err, errAway):
		s.back.failed()
	case err == nil:
		s.back.answered()
	}
	return more || held, held, err
}

// doSteps does the steps. The error is errAway.
func (s *Sweeper) doSteps(ctx context.Context) error {
	for _, step := range s.steps() {
		err := step.do(ctx)
		if errors.Is(err, errAway) {
			return err
		}
		if s.told[step.name] == nil {
			s.told[step.name] = &teller{logger: s.Logger}
		}
		s.told[step.name].tell(ctx, step.name, err)
	}
	return nil
}
