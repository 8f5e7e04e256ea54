package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/tracing"
	"grapnel/workflows"
)

// Drains starts the workflows that send what is parked.
type Drains struct {
	Temporal Temporal
	// Labels says what they are about; nil says nothing.
	Labels Labels
	// Metrics counts starts; nil counts none.
	Metrics Metrics
}

// Labels says what drains and replays are about, for people.
type Labels interface {
	// DrainLabel is that of a webhook's drain.
	DrainLabel(ctx context.Context, webhook hook.WebhookID) (hook.Label, error)
	// ReplayLabel is that of a replay.
	ReplayLabel(ctx context.Context, replay hook.ReplayID) (hook.Label, error)
}

// Drain starts the drain of a webhook, or finds it running.
func (d *Drains) Drain(ctx context.Context, webhook hook.WebhookID) error {
	e := drainOf(webhook)
	return e.start(ctx, d.Temporal, d.Labels, d.Metrics)
}

// Drain has the drain of a webhook started that has none. It never waits: what is too
// much is left to the sweeper.
func (s *Starter) Drain(webhook hook.WebhookID) { s.beside(drainOf(webhook)) }

// Replay has the workflow of a replay started; as Drain.
func (s *Starter) Replay(replay hook.ReplayID) { s.beside(replayOf(replay)) }

// errand is a workflow beside those of events; one that runs is found.
type errand struct {
	id, name string
	// purpose is what metrics call it.
	purpose string
	// label looks up what it is about, and with is how it is started with that.
	label func(ctx context.Context, l Labels) (hook.Label, error)
	with  func(l hook.Label) (client.StartWorkflowOptions, any)
}

func drainOf(webhook hook.WebhookID) errand {
	return errand{
		id: contract.DrainID(webhook), name: contract.NameDrain, purpose: ForDrain,
		label: func(ctx context.Context, l Labels) (hook.Label, error) { return l.DrainLabel(ctx, webhook) },
		with: func(l hook.Label) (client.StartWorkflowOptions, any) {
			options, input := workflows.DrainStart(webhook, l)
			return options, input
		},
	}
}

func replayOf(replay hook.ReplayID) errand {
	return errand{
		id: replay.String(), name: contract.NameReplay, purpose: ForReplay,
		label: func(ctx context.Context, l Labels) (hook.Label, error) { return l.ReplayLabel(ctx, replay) },
		with: func(l hook.Label) (client.StartWorkflowOptions, any) {
			options, input := workflows.ReplayStart(replay, l)
			return options, input
		},
	}
}

// start starts it. Without a label, where the store has none or is away, it is started all
// the same.
func (e *errand) start(ctx context.Context, t Temporal, labels Labels, m Metrics) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := e.with(e.labelled(ctx, labels))
	// It has to do with many traces, and has one of its own.
	_, err := t.ExecuteWorkflow(tracing.Detached(ctx), options, e.name, input)
	if m != nil {
		m.Started(e.purpose, 0, err)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", e.id, err)
	}
	return nil
}

// labelPatience bounds the look-up of a label, which is not worth waiting for.
const labelPatience = time.Second

func (e *errand) labelled(ctx context.Context, labels Labels) hook.Label {
	if labels == nil {
		return hook.Label{}
	}
	ctx, cancel := context.WithTimeout(ctx, labelPatience)
	defer cancel()
	label, err := e.label(ctx, labels)
	if err != nil {
		return hook.Label{}
	}
	return label
}

func (s *Starter) beside(e errand) {
	select {
	case s.errands <- e:
	default:
	}
}

// runErrands starts what Drain and Replay take, until ctx ends.
func (s *Starter) runErrands(ctx context.Context) {
	for {
		select {
		case e := <-s.errands:
			if err := e.start(ctx, s.config.Temporal, s.config.Labels, s.config.Metrics); err != nil {
				s.config.Logger.DebugContext(ctx, "start deferred", slog.String("workflow_id", e.id), slog.Any("error", err))
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
	drains, err := s.Backlog.LostDrains(ctx, lostDrainAge, drainPage)
	if err != nil {
		return err
	}
	lost := make([]errand, 0, len(drains))
	for _, webhook := range drains {
		lost = append(lost, drainOf(webhook))
	}
	return s.startErrands(ctx, lost)
}

// startReplays is startDrains for replays.
func (s *Sweeper) startReplays(ctx context.Context) error {
	replays, err := s.Backlog.LostReplays(ctx, lostDrainAge, drainPage)
	if err != nil {
		return err
	}
	lost := make([]errand, 0, len(replays))
	for _, replay := range replays {
		lost = append(lost, replayOf(replay))
	}
	return s.startErrands(ctx, lost)
}

// startErrands starts each; one that fails keeps no other from it, and is lost again in a
// while. The error is errAway where Temporal was away.
func (s *Sweeper) startErrands(ctx context.Context, lost []errand) error {
	errs, away := askAll(len(lost), s.Starter.config.Workers, func(i int) error { return s.startErrand(ctx, &lost[i]) })
	failure := firstOf(errs)
	if away {
		return errors.Join(errAway, failure)
	}
	return failure
}

func (s *Sweeper) startErrand(ctx context.Context, e *errand) error {
	if err := e.start(ctx, s.Temporal, s.Starter.config.Labels, s.Starter.config.Metrics); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	description, err := s.Temporal.DescribeWorkflowExecution(ctx, e.id, "")
	if err != nil {
		return fmt.Errorf("describe %s: %w", e.id, err)
	}
	hurried, err := hurry(ctx, s.Resetter, description, time.Second)
	if err != nil {
		return fmt.Errorf("hurry %s: %w", e.id, err)
	}
	s.Logger.DebugContext(ctx, "started anew, or hurried", slog.String("workflow_id", e.id), slog.Bool("hurried", hurried > 0))
	return nil
}
