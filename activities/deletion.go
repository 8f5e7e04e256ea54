package activities

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
)

// Deletions is the store of deletions of tenants.
type Deletions interface {
	// DeletionStep makes the next step of a deletion, one transaction of bounded work. The error is of kind no tenant if
	// the tenant is gone.
	DeletionStep(ctx context.Context, tenant hook.TenantID) (hook.DeletionStep, error)
	// DeletionSleeps notes when the deletion will look again, so that a lost one is noticed.
	DeletionSleeps(ctx context.Context, tenant hook.TenantID, in time.Duration) error
}

const (
	// deletionFor is how long a run makes steps, and deletionPause the time until the next run: so a deletion takes the
	// store for half of the time at most, and other tenants the rest.
	deletionFor   = time.Second
	deletionPause = time.Second
	// deletionLook is the time between two looks of a deletion that waits for others.
	deletionLook = 2 * time.Second
)

// DeleteTenant deletes a tenant with all that it has, step by step (K8). Until the tenant is gone it returns an error that
// asks for the next run. Its progress is in the store, so a run that is lost costs nothing.
func (a *Activities) DeleteTenant(ctx context.Context, in contract.DeletionInput) (contract.DeletionResult, error) {
	began, step := a.now(), hook.DeletionStep{}
	again := func(pause time.Duration) error {
		activity.RecordHeartbeat(ctx, deletionBeat{Phase: step.Phase, Webhooks: step.Webhooks, Events: step.Events, Deliveries: step.Deliveries})
		a.noteDeletion(ctx, in.TenantID, pause)
		return runAgain(pause, fmt.Sprintf("%s: %d webhooks, %d events and %d deliveries deleted", step.Phase, step.Webhooks, step.Events, step.Deliveries))
	}
	window := a.window(ctx)
	return inSteps(window, func() (result contract.DeletionResult, ended bool, err error) {
		step, err = a.deletions.DeletionStep(ctx, in.TenantID)
		switch {
		case hook.KindOf(err) == hook.KindNoTenant:
			return result, true, nil
		case err != nil:
			a.noteDeletion(ctx, in.TenantID, delivery.MaxRetryPause)
			return result, false, a.ours(ctx, "delete tenant", err)
		case step.Gone:
			return contract.DeletionResult{Webhooks: step.Webhooks, Events: step.Events, Deliveries: step.Deliveries, Canceled: step.Canceled}, true, nil
		case step.Waiting:
			return result, false, again(deletionLook)
		case a.now().Sub(began) >= deletionFor && !window.IsStopping():
			return result, false, again(deletionPause)
		}
		return result, false, nil
	}, func() error { return again(delivery.StopRetry) })
}

// deletionBeat is the heartbeat, for a person.
type deletionBeat struct {
	Phase      hook.DeletionPhase `json:"phase"`
	Webhooks   int64              `json:"webhooks"`
	Events     int64              `json:"events"`
	Deliveries int64              `json:"deliveries"`
}

// noteDeletion notes when the next run will be.
func (a *Activities) noteDeletion(ctx context.Context, tenant hook.TenantID, in time.Duration) {
	if err := a.deletions.DeletionSleeps(ctx, tenant, in+sleepSlack); err != nil {
		a.log.DebugContext(ctx, "deletion not noted", slog.String("tenant_id", tenant.String()), slog.Any("error", err))
	}
}
