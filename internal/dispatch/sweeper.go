package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/contract"
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

// Housekeeping is what has to be done now and then.
type Maintenance interface {
	// EnsurePartitions makes the coming days' partitions.
	EnsurePartitions(ctx context.Context) (int, error)
	// DropOldPartitions drops the days that ended longer ago than retention.
	DropOldPartitions(ctx context.Context, retention time.Duration) (int, error)
	// CancelStaleTests ends tests that nobody waits for any more.
	CancelStaleTests(ctx context.Context, age time.Duration) error
	// PurgeIdempotencyKeys deletes those whose window has passed.
	PurgeIdempotencyKeys(ctx context.Context) (int64, error)
	// PurgeReplays deletes those that ended longer ago than age.
	PurgeReplays(ctx context.Context, age time.Duration) error
	// ForgetSecrets removes secrets and signing keys that were rotated out and have expired.
	ForgetSecrets(ctx context.Context) (int64, error)
}

// Sweeper starts what was accepted and not started, and keeps the
// store tidy. Every process runs one. They sweep at the same time: each claims what it is
// about to start, and gives back what it could not.
type Sweeper struct {
	Starter     *Starter
	Backlog     Backlog
	Maintenance Maintenance
	Temporal    WorkflowDescriber
	Resetter    Resetter
	Health      Health
	// Cancellations, if not nil, has a round in each of the sweeper's.
	Cancellations *Cancellations
	Logger        *slog.Logger
	// Retention is how long events and their deliveries are kept; 0 is for ever.
	Retention time.Duration
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
	tidyEvery         = 10 * time.Minute
	// tidyAgain is when what failed is tried again: where days went by without a process,
	// today's partition has to be there before much lies outside of it.
	tidyAgain = time.Minute
	// staleTest is beyond any wait for a test's outcome.
	staleTest = 2 * contract.SendNowTimeout
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
	sweep, tidy := time.NewTimer(s.Interval), time.NewTimer(s.tidy(ctx))
	defer sweep.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tidy.C:
			tidy.Reset(s.tidy(ctx))
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
	// local needs no Temporal, and is done while that is away.
	local bool
}

func (s *Sweeper) steps() []step {
	return []step{
		{name: "cancel what was outstanding", do: s.Cancellations.Round, local: true},
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
		_ = s.doSteps(ctx, true) // it is told, and Temporal can't have been away
	}
	if over, err := s.back.over(ctx, s.Health); !over || err != nil {
		return false, false, err
	}
	if due {
		err = s.doSteps(ctx, false)
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

// doSteps does the local steps, or those that need Temporal. The error is errAway.
func (s *Sweeper) doSteps(ctx context.Context, local bool) error {
	for _, step := range s.steps() {
		if step.local != local {
			continue
		}
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

// tidy does what has to be done now and then, and returns when to do it again.
func (s *Sweeper) tidy(ctx context.Context) time.Duration {
	_, made := s.Maintenance.EnsurePartitions(ctx)
	_, purged := s.Maintenance.PurgeIdempotencyKeys(ctx)
	_, forgotten := s.Maintenance.ForgetSecrets(ctx)
	// Before the days: a test that nobody waits for must not outlive its day.
	canceled := s.Maintenance.CancelStaleTests(ctx, staleTest)
	var dropped error
	if s.Retention > 0 {
		_, dropped = s.Maintenance.DropOldPartitions(ctx, s.Retention)
		dropped = errors.Join(dropped, s.Maintenance.PurgeReplays(ctx, s.Retention))
	}
	err := errors.Join(made, purged, forgotten, canceled, dropped)
	if err == nil {
		return tidyEvery
	}
	if ctx.Err() == nil {
		s.Logger.WarnContext(ctx, "housekeeping", slog.Any("error", err))
	}
	return tidyAgain
}
