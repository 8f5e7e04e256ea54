package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/tracing"
	"grapnel/workflows"
)

// Drains starts the workflows that send what is parked.
type Drains struct {
	Temporal Temporal
	// Metrics counts starts; nil counts none.
	Metrics Metrics
}

// Drain starts the drain of a webhook, or finds it running.
func (d *Drains) Drain(ctx context.Context, webhook hook.WebhookID) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := workflows.DrainStart(webhook)
	// It sends what belongs to many traces, and has one of its own.
	_, err := d.Temporal.ExecuteWorkflow(tracing.Detached(ctx), options, workflows.NameDrain, input)
	if d.Metrics != nil {
		d.Metrics.Started(ForDrain, 0, err)
	}
	if err != nil {
		return fmt.Errorf("start drain of %s: %w", webhook, err)
	}
	return nil
}

const (
	// lostDrainAge is how long a drain may be late before it is taken for lost: it says
	// when it will look again, with more than its longest run to spare.
	lostDrainAge = 30 * time.Second
	// drainPage bounds how many lost drains a round starts.
	drainPage = 500
)

// startDrains starts the drains that got lost, with a crash or with Temporal's database.
func (s *Sweeper) startDrains(ctx context.Context) error {
	lost, err := s.Backlog.LostDrains(ctx, lostDrainAge, drainPage)
	if err != nil {
		return err
	}
	drains := Drains{Temporal: s.Starter.config.Temporal, Metrics: s.Starter.config.Metrics}
	for _, webhook := range lost {
		if err := drains.Drain(ctx, webhook); err != nil {
			return err
		}
		s.Logger.InfoContext(ctx, "drain started anew", slog.String("webhook_id", webhook.String()))
	}
	return nil
}
