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
	"grapnel/internal/metrics/measure"
	"grapnel/internal/tracing"
	"grapnel/workflows"
)

// Labels describes drains and replays for people who look at workflows.
type Labels interface {
	// DrainLabel describes the drain of a webhook.
	DrainLabel(ctx context.Context, webhook hook.WebhookID) (hook.Label, error)
	// ReplayLabel describes a replay.
	ReplayLabel(ctx context.Context, replay hook.ReplayID) (hook.Label, error)
}

// Drains starts the drains of webhooks: the workflows that send deferred deliveries.
type Drains struct{ starter auxStarter }

// NewDrains returns Drains. Without labels the workflows have no description, and without metrics they are not counted.
func NewDrains(temporal Temporal, labels Labels, metrics Metrics) (*Drains, error) {
	if temporal == nil {
		return nil, errors.New("drains: temporal is required")
	}
	return &Drains{auxStarter{temporal: temporal, labels: labels, metrics: counting(metrics)}}, nil
}

// Drain starts the drain of a webhook. It does nothing if the drain is running.
func (d *Drains) Drain(ctx context.Context, webhook hook.WebhookID) error {
	drain := drainOf(webhook)
	return d.starter.start(ctx, &drain)
}

// Drain queues the start of a webhook's drain. It never blocks: when the queue is full, the start is left to the
// sweeper.
func (s *Starter) Drain(webhook hook.WebhookID) { s.enqueueAux(drainOf(webhook)) }

// Replay queues the start of a replay's workflow, as Drain does for a drain.
func (s *Starter) Replay(replay hook.ReplayID) { s.enqueueAux(replayOf(replay)) }

// DeleteTenant queues the start of the deletion of a tenant, as Drain does for a drain.
func (s *Starter) DeleteTenant(tenant hook.TenantID) { s.enqueueAux(deletionOf(tenant)) }

// auxStart is the start of an auxiliary workflow: one that is not tied to one event. Starting one that is running does
// nothing.
type auxStart struct {
	// id is the workflow's id, and name the name of its type.
	id, name string
	// purpose is the label under which metrics count the start.
	purpose measure.StartedBy
	// label looks up the workflow's description.
	label func(ctx context.Context, l Labels) (hook.Label, error)
	// with returns the options and the input of a start with that description.
	with func(l hook.Label) (client.StartWorkflowOptions, any)
}

func drainOf(webhook hook.WebhookID) auxStart {
	return auxStart{
		id: contract.DrainID(webhook), name: contract.NameDrain, purpose: measure.ForDrain,
		label: func(ctx context.Context, l Labels) (hook.Label, error) { return l.DrainLabel(ctx, webhook) },
		with: func(l hook.Label) (client.StartWorkflowOptions, any) {
			options, input := workflows.DrainStart(webhook, l)
			return options, input
		},
	}
}

func replayOf(replay hook.ReplayID) auxStart {
	return auxStart{
		id: replay.String(), name: contract.NameReplay, purpose: measure.ForReplay,
		label: func(ctx context.Context, l Labels) (hook.Label, error) { return l.ReplayLabel(ctx, replay) },
		with: func(l hook.Label) (client.StartWorkflowOptions, any) {
			options, input := workflows.ReplayStart(replay, l)
			return options, input
		},
	}
}

// deletionOf has no description: a tenant's name is not to stay in Temporal.
func deletionOf(tenant hook.TenantID) auxStart {
	return auxStart{
		id: contract.DeletionID(tenant), name: contract.NameDeleteTenant, purpose: measure.ForDeletion,
		label: func(context.Context, Labels) (hook.Label, error) { return hook.Label{}, nil },
		with: func(hook.Label) (client.StartWorkflowOptions, any) {
			options, input := workflows.DeletionStart(tenant)
			return options, input
		},
	}
}

// auxStarter starts auxiliary workflows.
type auxStarter struct {
	temporal Temporal
	labels   Labels
	metrics  Metrics
}

// start starts the workflow. It does so without a description if the store has none or is unavailable.
func (s *auxStarter) start(ctx context.Context, a *auxStart) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := a.with(s.label(ctx, a))
	// The workflow concerns many traces, so it begins one of its own.
	_, err := s.temporal.ExecuteWorkflow(tracing.Detached(ctx), options, a.name, input)
	s.metrics.Started(a.purpose, 0, err)
	if err != nil {
		return fmt.Errorf("start %s: %w", a.id, err)
	}
	return nil
}

// labelTimeout bounds the look-up of a description, which is not worth a longer delay.
const labelTimeout = time.Second

func (s *auxStarter) label(ctx context.Context, a *auxStart) hook.Label {
	if s.labels == nil {
		return hook.Label{}
	}
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	label, err := a.label(ctx, s.labels)
	if err != nil {
		return hook.Label{}
	}
	return label
}

func (s *Starter) enqueueAux(a auxStart) {
	select {
	case s.auxQueue <- a:
	default:
	}
}

// runAux starts queued auxiliary workflows until ctx ends.
func (s *Starter) runAux(ctx context.Context) {
	for {
		select {
		case a := <-s.auxQueue:
			if err := s.aux.start(ctx, &a); err != nil {
				s.config.Logger.DebugContext(ctx, "start left to the sweeper", slog.String("workflow_id", a.id), slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// startAux starts an auxiliary workflow and waits until Temporal has taken it.
func (s *Starter) startAux(ctx context.Context, a *auxStart) error { return s.aux.start(ctx, a) }
