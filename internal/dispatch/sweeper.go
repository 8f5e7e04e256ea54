package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/errlog"
	"grapnel/internal/hook"
)

// SweeperStore lists the methods of the store that the sweeper uses. Any number of processes may call it at the same
// time.
type SweeperStore interface {
	Outbox
	// ClaimUnstarted claims events of the outbox. Claims that come with an error have to be given back.
	ClaimUnstarted(ctx context.Context, c hook.OutboxClaim) (hook.OutboxPage, error)
	// Unclaim gives events back.
	Unclaim(ctx context.Context, events []hook.EventID) error
	// Unattempted counts the events among the given ones that have a due delivery which is neither attempted nor
	// deferred.
	Unattempted(ctx context.Context, events []hook.EventID) (int, error)
	// Targets returns the first webhooks of each event.
	Targets(ctx context.Context, events []hook.EventID) (map[hook.EventID][]hook.Target, error)
	// LostDrains returns webhooks whose drain should have reported longer ago than age, or should be woken now. It does
	// not return them again for as long.
	LostDrains(ctx context.Context, age time.Duration, limit int) ([]hook.WebhookID, error)
	// LostReplays does for replays what LostDrains does for drains.
	LostReplays(ctx context.Context, age time.Duration, limit int) ([]hook.ReplayID, error)
	// LostDeletions does for deletions of tenants what LostDrains does for drains.
	LostDeletions(ctx context.Context, age time.Duration, limit int) ([]hook.TenantID, error)
}

// SweeperConfig is the configuration of NewSweeper. Every field without a default is required.
type SweeperConfig struct {
	// Starter is the starter of this process. The sweeper starts workflows as the starter does, and leaves to it the
	// events in its queue.
	Starter  *Starter
	Store    SweeperStore
	Temporal WorkflowDescriber
	Resetter Resetter
	Health   Health
	Logger   *slog.Logger
	// Process returns the process whose events this sweeper may claim at once, though their owner lives; nil if this
	// process owns none.
	Process func() hook.ProcessID
	// Interval is the time between two rounds; default 2 s.
	Interval time.Duration
	// Age is how long an event is left to the starters; default 5 s.
	Age time.Duration
	// PaceFor is how long a page of the outbox waits at most for the attempts of the page before it; default 5 s.
	PaceFor time.Duration
}

// Sweeper starts the workflows of events that were accepted and not started, and those of drains, replays and deletions of
// tenants that were lost. Every process runs one, all at the same time: each claims the events that it is about to start, and gives back
// those that it could not start.
type Sweeper struct {
	config SweeperConfig
	pace   pace
	// after is the last event of the page before; the next page begins after it.
	after hook.EventID
	// auxAt is when lost drains, replays and deletions were last looked for.
	auxAt   time.Time
	backoff backoff
	// drainErrors, replayErrors and deletionErrors log the failures of each kind.
	drainErrors, replayErrors, deletionErrors *errlog.ChangeLogger
}

const (
	defaultSweepEvery = 2 * time.Second
	defaultSweepAge   = 5 * time.Second
)

// NewSweeper checks the configuration and sets defaults. It starts nothing.
func NewSweeper(c SweeperConfig) (*Sweeper, error) {
	if c.Starter == nil || c.Store == nil || c.Temporal == nil || c.Resetter == nil || c.Health == nil || c.Logger == nil {
		return nil, errors.New("sweeper: starter, store, temporal, resetter, health and logger are required")
	}
	if c.Interval < 0 || c.Age < 0 || c.PaceFor < 0 {
		return nil, errors.New("sweeper: interval, age and pace must not be negative")
	}
	if c.Interval == 0 {
		c.Interval = defaultSweepEvery
	}
	if c.Age == 0 {
		c.Age = defaultSweepAge
	}
	if c.PaceFor == 0 {
		c.PaceFor = defaultPaceFor
	}
	if c.Process == nil {
		c.Process = func() hook.ProcessID { return hook.ProcessID{} }
	}
	return &Sweeper{
		config: c, backoff: backoff{interval: c.Interval},
		drainErrors: errlog.New(c.Logger), replayErrors: errlog.New(c.Logger), deletionErrors: errlog.New(c.Logger),
	}, nil
}

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	sweepErrors := errlog.New(s.config.Logger)
	timer := time.NewTimer(s.config.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		next, err := s.round(ctx)
		if err != nil || !s.backoff.paused() { // a pause is no success: the error is still the same
			sweepErrors.Log(ctx, "sweep", err)
		}
		timer.Reset(s.pause(next, err))
	}
}

// progress says how much of the outbox a round has left.
type progress int

const (
	sweptAll     progress = iota // the outbox has no further page
	sweptPage                    // there is another page
	sweptDelayed                 // there is another page, and it has to wait for the attempts of the last one
)

// pause returns the time until the next round.
func (s *Sweeper) pause(p progress, err error) time.Duration {
	switch {
	case err != nil || p == sweptAll:
		return s.config.Interval
	case p == sweptDelayed:
		return min(s.config.Interval, paceLook)
	default:
		return 0
	}
}

// round starts lost drains, replays and deletions, once per interval, and then a page of the outbox. It does nothing while
// Temporal is unavailable.
func (s *Sweeper) round(ctx context.Context) (progress, error) {
	due := time.Since(s.auxAt) >= s.config.Interval
	if due {
		s.auxAt = time.Now()
	}
	if over, err := s.backoff.over(ctx, s.config.Health); !over || err != nil {
		return sweptAll, err
	}
	p, err := s.sweep(ctx, due)
	switch {
	case errors.Is(err, errUnavailable):
		s.backoff.fail()
	case err == nil:
		s.backoff.reset()
	}
	return p, err
}

// sweep is a round while Temporal is available. aux says that lost drains, replays and deletions are due.
func (s *Sweeper) sweep(ctx context.Context, aux bool) (progress, error) {
	if aux {
		if err := s.startAllLost(ctx); err != nil {
			return sweptAll, err
		}
	}
	delayed, err := s.pace.delays(ctx, s.config.Store, s.config.PaceFor)
	if err != nil {
		return sweptAll, err
	}
	if delayed {
		return sweptDelayed, nil
	}
	more, err := s.page(ctx)
	if more {
		return sweptPage, err
	}
	return sweptAll, err
}

// startAllLost starts lost drains, replays and deletions. A failure of one kind stops neither the others nor the outbox, and is
// only logged, unless Temporal is unavailable: then the error is errUnavailable.
func (s *Sweeper) startAllLost(ctx context.Context) error {
	err := s.startDrains(ctx)
	if errors.Is(err, errUnavailable) {
		return err
	}
	s.drainErrors.Log(ctx, "start lost drains", err)
	err = s.startReplays(ctx)
	if errors.Is(err, errUnavailable) {
		return err
	}
	s.replayErrors.Log(ctx, "start lost replays", err)
	err = s.startDeletions(ctx)
	if errors.Is(err, errUnavailable) {
		return err
	}
	s.deletionErrors.Log(ctx, "start lost deletions", err)
	return nil
}
