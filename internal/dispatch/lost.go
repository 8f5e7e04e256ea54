package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// lostAge is how late a drain or a replay may be before it counts as lost. The store knows when each reports next,
	// which leaves more time than its longest activity needs.
	lostAge = 30 * time.Second
	// lostPage bounds the drains, the replays and the deletions that one round starts.
	lostPage = 500
)

// startDrains starts the drains that were lost with a crash or with Temporal's database. It also wakes the drains for
// which something has changed: their webhook is no longer paused, or has another URL.
func (s *Sweeper) startDrains(ctx context.Context) error {
	drains, err := s.config.Store.LostDrains(ctx, lostAge, lostPage)
	if err != nil {
		return err
	}
	lost := make([]auxStart, 0, len(drains))
	for _, webhook := range drains {
		lost = append(lost, drainOf(webhook))
	}
	return s.startLost(ctx, lost)
}

// startReplays does for replays what startDrains does for drains.
func (s *Sweeper) startReplays(ctx context.Context) error {
	replays, err := s.config.Store.LostReplays(ctx, lostAge, lostPage)
	if err != nil {
		return err
	}
	lost := make([]auxStart, 0, len(replays))
	for _, replay := range replays {
		lost = append(lost, replayOf(replay))
	}
	return s.startLost(ctx, lost)
}

// startDeletions starts the deletions of tenants that were lost, or whose start was.
func (s *Sweeper) startDeletions(ctx context.Context) error {
	tenants, err := s.config.Store.LostDeletions(ctx, lostAge, lostPage)
	if err != nil {
		return err
	}
	lost := make([]auxStart, 0, len(tenants))
	for _, tenant := range tenants {
		lost = append(lost, deletionOf(tenant))
	}
	return s.startLost(ctx, lost)
}

// startLost starts every workflow. One that fails stops none of the others, and counts as lost again later. The error
// is errUnavailable if Temporal was unavailable, and otherwise that of the first start that failed.
func (s *Sweeper) startLost(ctx context.Context, lost []auxStart) error {
	errs, unavailable := callAll(len(lost), s.config.Starter.concurrency(), func(i int) error { return s.startOrWake(ctx, &lost[i]) })
	failure := firstError(errs)
	if unavailable {
		return errors.Join(errUnavailable, failure)
	}
	return failure
}

// startOrWake starts the workflow. If it was running, its waiting activities try now.
func (s *Sweeper) startOrWake(ctx context.Context, a *auxStart) error {
	if err := s.config.Starter.startAux(ctx, a); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	description, err := s.config.Temporal.DescribeWorkflowExecution(ctx, a.id, "")
	if err != nil {
		return fmt.Errorf("describe %s: %w", a.id, err)
	}
	woken, err := wake(ctx, s.config.Resetter, description, time.Second)
	if err != nil {
		return fmt.Errorf("wake %s: %w", a.id, err)
	}
	s.config.Logger.DebugContext(ctx, "lost workflow started or woken", slog.String("workflow_id", a.id), slog.Bool("woken", woken > 0))
	return nil
}
