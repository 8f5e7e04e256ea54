package dispatch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/hook"
	"grapnel/workflows"
)

// Backlog is what the sweeper needs of the store.
type Backlog interface {
	// Exclusively runs f in one process at a time, or returns false.
	Exclusively(ctx context.Context, f func(context.Context) error) (bool, error)
	// Unstarted lists events accepted longer ago than age that still wait in the
	// outbox, by id, those after the given one.
	Unstarted(ctx context.Context, age time.Duration, after hook.EventID, limit int) ([]hook.Start, error)
	// Started removes events from the outbox.
	Started(ctx context.Context, events []hook.EventID) error
	// LostDrains lists webhooks whose drain should have looked longer ago than age, or
	// should look now, and gives each as long again.
	LostDrains(ctx context.Context, age time.Duration, limit int) ([]hook.WebhookID, error)
	// LostReplays is LostDrains for replays.
	LostReplays(ctx context.Context, age time.Duration, limit int) ([]hook.ReplayID, error)
}

// Housekeeping is what has to be done now and then.
type Housekeeping interface {
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

// Sweeper starts what was accepted and not started (design 3), and keeps the
// store tidy. Every process runs one; they take turns.
type Sweeper struct {
	Starter      *Starter
	Backlog      Backlog
	Housekeeping Housekeeping
	Temporal     Runs
	Resetter     Resetter
	// Cancellations, if not nil, has a round in each of the sweeper's.
	Cancellations *Cancellations
	Logger        *slog.Logger
	// Retention is how long events and their deliveries are kept; 0 is for ever.
	Retention time.Duration
	// Interval is how often it looks; default 2 s.
	Interval time.Duration
	// Age is how long a start may take before the sweeper takes over; default 5 s.
	Age time.Duration
}

const (
	defaultSweepEvery = 2 * time.Second
	defaultSweepAge   = 5 * time.Second
	sweepPage         = 500
	tidyEvery         = 10 * time.Minute
	// tidyAgain is when what failed is tried again: where days went by without a process,
	// today's partition has to be there before much lies outside of it.
	tidyAgain = time.Minute
	// staleTest is beyond any wait for a test's outcome.
	staleTest = 2 * workflows.SendNowTimeout
)

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	interval, age := s.Interval, s.Age
	if interval == 0 {
		interval = defaultSweepEvery
	}
	if age == 0 {
		age = defaultSweepAge
	}
	tell, ending := teller{logger: s.Logger}, teller{logger: s.Logger}
	sweep, tidy := time.NewTicker(interval), time.NewTimer(s.tidy(ctx))
	defer sweep.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tidy.C:
			tidy.Reset(s.tidy(ctx))
		case <-sweep.C:
			ending.tell(ctx, "cancel", s.Cancellations.Round(ctx)) // one process's are none of another's
			tell.tell(ctx, "sweep", s.sweep(ctx, age))
		}
	}
}

func (s *Sweeper) sweep(ctx context.Context, age time.Duration) error {
	_, err := s.Backlog.Exclusively(ctx, func(ctx context.Context) error {
		var after hook.EventID
		for {
			starts, err := s.Backlog.Unstarted(ctx, age, after, sweepPage)
			if err != nil {
				return err
			}
			if len(starts) == 0 {
				return s.startErrands(ctx)
			}
			last := lastOf(starts)
			starts = slices.DeleteFunc(starts, func(start hook.Start) bool { return s.Starter.mine.any(&start) })
			started, failure := s.startAll(ctx, starts)
			if len(started) > 0 {
				s.Logger.InfoContext(ctx, "swept", slog.Int("started", len(started)), slog.Int("found", len(starts)))
				if err := s.Backlog.Started(ctx, started); err != nil {
					return err
				}
			}
			if failure != nil {
				return failure
			}
			// What was refused must not keep what comes after it from being started.
			after = last
		}
	})
	return err
}

// lastOf is the last event of all, by id; those that share a workflow come with its
// first.
func lastOf(starts []hook.Start) (last hook.EventID) {
	for i := range starts {
		for _, id := range starts[i].EventIDs() {
			if bytes.Compare(id[:], last[:]) > 0 {
				last = id
			}
		}
	}
	return last
}

// startAll starts each, and returns those that were; the error is errAway when
// Temporal was, or went, away.
func (s *Sweeper) startAll(ctx context.Context, starts []hook.Start) ([]hook.EventID, error) {
	errs, away := askAll(len(starts), s.Starter.config.Workers, func(i int) error {
		err := s.Starter.start(ctx, starts[i])
		s.Starter.config.Metrics.Started(BySweeper, len(starts[i].Others)+1, err)
		return err
	})
	var started []hook.EventID
	for i, err := range errs {
		if err == nil {
			started = append(started, starts[i].EventIDs()...)
		}
	}
	failure := firstOf(errs)
	if away {
		return started, errors.Join(errAway, failure)
	}
	if failure != nil && ctx.Err() == nil {
		s.Logger.WarnContext(ctx, "some starts failed", slog.Int("failed", len(starts)-len(started)), slog.Any("error", failure))
	}
	return started, nil
}

// tidy does what has to be done now and then, and returns when to do it again.
func (s *Sweeper) tidy(ctx context.Context) time.Duration {
	_, made := s.Housekeeping.EnsurePartitions(ctx)
	_, purged := s.Housekeeping.PurgeIdempotencyKeys(ctx)
	_, forgotten := s.Housekeeping.ForgetSecrets(ctx)
	// Before the days: a test that nobody waits for must not outlive its day.
	canceled := s.Housekeeping.CancelStaleTests(ctx, staleTest)
	var dropped error
	if s.Retention > 0 {
		_, dropped = s.Housekeeping.DropOldPartitions(ctx, s.Retention)
		dropped = errors.Join(dropped, s.Housekeeping.PurgeReplays(ctx, s.Retention))
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
