package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"grapnel/internal/hook"
	"grapnel/workflows"
)

// Drains starts the workflows that send what is parked.
type Drains struct {
	Temporal Temporal
}

// Drain starts the drain of a webhook, or finds it running.
func (d *Drains) Drain(ctx context.Context, webhook hook.WebhookID) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := workflows.DrainStart(webhook)
	if _, err := d.Temporal.ExecuteWorkflow(ctx, options, workflows.NameDrain, input); err != nil {
		return fmt.Errorf("start drain of %s: %w", webhook, err)
	}
	return nil
}

// Drain has the drain of a webhook started that has none. It never waits: what is too
// much is left to the sweeper.
func (s *Starter) Drain(webhook hook.WebhookID) {
	select {
	case s.undrained <- webhook:
	default:
	}
}

// startDrains starts what Drain takes, until ctx ends.
func (s *Starter) startDrains(ctx context.Context) {
	drains := Drains{Temporal: s.config.Temporal}
	for {
		select {
		case webhook := <-s.undrained:
			if err := drains.Drain(ctx, webhook); err != nil {
				s.config.Logger.DebugContext(ctx, "drain deferred", slog.String("webhook_id", webhook.String()), slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

const (
	// lostDrainAge is how long a drain may be late before it is taken for lost: it says
	// when it will look again, with more than its longest run to spare.
	lostDrainAge = 30 * time.Second
	// drainPage bounds how many lost drains a round starts.
	drainPage = 500
)

// startDrains starts the drains that got lost, with a crash or with Temporal's database,
// and ends the wait of those for which something has changed: the webhook is no longer
// paused, or elsewhere.
func (s *Sweeper) startDrains(ctx context.Context) error {
	lost, err := s.Backlog.LostDrains(ctx, lostDrainAge, drainPage)
	if err != nil {
		return err
	}
	for _, webhook := range lost {
		if err := s.startDrain(ctx, webhook); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sweeper) startDrain(ctx context.Context, webhook hook.WebhookID) error {
	drains := Drains{Temporal: s.Temporal}
	if err := drains.Drain(ctx, webhook); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	description, err := s.Temporal.DescribeWorkflowExecution(ctx, hook.DrainID(webhook), "")
	if err != nil {
		return fmt.Errorf("describe drain of %s: %w", webhook, err)
	}
	hurried, err := hurry(ctx, s.Resetter, description, time.Second)
	if err != nil {
		return fmt.Errorf("hurry drain of %s: %w", webhook, err)
	}
	s.Logger.InfoContext(ctx, "drain started anew", slog.String("webhook_id", webhook.String()), slog.Bool("ran", hurried > 0))
	return nil
}
