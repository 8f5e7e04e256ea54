package dispatch

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// SendNow has a worker send one delivery by hand and waits for the outcome,
// which is then in the store (S11, S13). Two at once for one delivery are one.
type SendNow struct {
	Temporal WorkflowStarter
	// Metrics counts orders; nil counts none.
	Metrics Metrics
}

// Orders starts workflows and takes them back; client.Client does.
type WorkflowStarter interface {
	Temporal
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	TerminateWorkflow(ctx context.Context, workflowID, runID, reason string, details ...any) error
}

// startPatience is how long the caller waits for Temporal to take the order.
const startPatience = 5 * time.Second

// Send returns nil when an attempt was made and recorded, whatever came of it;
// unavailable when Temporal or the workers are away; precondition when the webhook
// is deleted or disabled, or the message is being sent; rate limited when the webhook is
// over a limit. hook.ErrNotSent is in the chain where no worker is known
// to have taken the order. A start whose answer got lost may have arrived all the same; what that must not do to
// a test the store sees to (DropTest).
func (s *SendNow) Send(ctx context.Context, d hook.Delivery) error {
	start, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	options, input := workflows.SendNowStart(d)
	run, err := s.Temporal.ExecuteWorkflow(start, options, contract.NameSendNow, input)
	if s.Metrics != nil {
		s.Metrics.Started(ByHand, 1, err)
	}
	if err != nil {
		return hook.Unavailable("Temporal", errors.Join(hook.ErrNotSent, err))
	}
	if err = s.outcome(ctx, run, workerPatience); err == nil || !isAway(err) || ctx.Err() != nil {
		return sendError(err)
	}
	// Still under way: by a slow receiver, or because no worker is there.
	if s.untouched(ctx, run) {
		return hook.Unavailable("the worker", errors.Join(hook.ErrNotSent, err))
	}
	return sendError(s.outcome(ctx, run, contract.SendNowTimeout))
}

// workerPatience is how long it may take before it is asked whether a worker has
// taken the order at all.
const workerPatience = 5 * time.Second

func (s *SendNow) outcome(ctx context.Context, run client.WorkflowRun, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var outcome contract.Outcome
	return run.Get(ctx, &outcome)
}

// untouched takes an order back that no worker has looked at; false when one has. A worker
// may take it between the look and the end: so what counts is how long the history is that
// has ended.
func (s *SendNow) untouched(ctx context.Context, run client.WorkflowRun) bool {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	d, err := s.Temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	if err != nil || d.GetPendingWorkflowTask().GetState() != enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED ||
		d.GetWorkflowExecutionInfo().GetHistoryLength() > untouchedHistory {
		return false
	}
	if err := s.Temporal.TerminateWorkflow(ctx, run.GetID(), run.GetRunID(), "no worker took it in time"); err != nil {
		return false
	}
	d, err = s.Temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	return err == nil && d.GetWorkflowExecutionInfo().GetHistoryLength() == untouchedHistory+1
}

// untouchedHistory is that of a workflow no worker has looked at: started, task
// scheduled. Its end is one more.
const untouchedHistory = 2

func sendError(err error) error {
	if err == nil {
		return nil
	}
	var app *temporal.ApplicationError
	var late *temporal.TimeoutError
	switch {
	case errors.As(err, &app) && app.Type() == contract.ErrorLimited:
		limited := contract.Limited{Message: "the webhook is over a limit", RetryAfter: time.Second}
		_ = app.Details(&limited) // what has none is over a limit all the same
		return &hook.Error{Kind: hook.KindRateLimited, Message: limited.Message, RetryAfter: limited.RetryAfter, Err: errors.Join(hook.ErrNotSent, err)}
	case errors.As(err, &app) && app.Type() == contract.ErrorRefused:
		refused := &hook.Error{Kind: hook.KindPrecondition, Message: "the webhook is deleted or disabled", Err: errors.Join(hook.ErrNotSent, err)}
		var kind hook.Kind
		_ = app.Details(&kind) // what has none is refused for the reason above
		if kind == hook.KindNotFound {
			refused.Kind, refused.Message = kind, "delivery not found"
		}
		if kind == hook.KindConflict {
			refused.Message = "the message is being sent"
		}
		return refused
	case errors.As(err, &late) && late.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
		return hook.Unavailable("the worker", errors.Join(hook.ErrNotSent, err))
	default:
		return hook.Unavailable("sending", err)
	}
}
