package dispatch

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
	"grapnel/workflows"
)

// SendNow has a worker send one delivery by hand and waits for the outcome, which the worker stores (S11, S13). If two
// callers send the same delivery at once, one request is made.
type SendNow struct {
	temporal WorkflowStarter
	metrics  Metrics
}

// WorkflowStarter starts, describes and terminates workflows; client.Client does.
type WorkflowStarter interface {
	WorkflowDescriber
	TerminateWorkflow(ctx context.Context, workflowID, runID, reason string, details ...any) error
}

// NewSendNow returns a SendNow. Without metrics nothing is counted.
func NewSendNow(temporal WorkflowStarter, metrics Metrics) (*SendNow, error) {
	if temporal == nil {
		return nil, errors.New("send now: temporal is required")
	}
	return &SendNow{temporal: temporal, metrics: counting(metrics)}, nil
}

// takeTimeout is how long the caller waits for Temporal to take or describe the workflow.
const takeTimeout = 5 * time.Second

// Send returns nil when an attempt was made and recorded, successful or not. Its errors are:
//
//   - unavailable, when Temporal or the workers are unavailable
//   - precondition, when the webhook is deleted or disabled, or the message is being sent
//   - suspended, when the tenant is
//   - rate limited, when the webhook is over a limit
//
// hook.ErrNotSent is in the chain if it is certain that no request was made. A start whose answer was lost may have
// arrived all the same; DropTest in the store keeps that from sending a test that the client has been told is not sent.
func (s *SendNow) Send(ctx context.Context, d hook.Delivery) error {
	start, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	options, input := workflows.SendNowStart(d)
	run, err := s.temporal.ExecuteWorkflow(start, options, contract.NameSendNow, input)
	s.metrics.Started(measure.ByHand, 1, err)
	if err != nil {
		return hook.Unavailable("Temporal", errors.Join(hook.ErrNotSent, err))
	}
	if err = s.outcome(ctx, run, workerTimeout); err == nil || !isUnavailable(err) || ctx.Err() != nil {
		return sendError(err)
	}
	// The workflow is still under way: the receiver is slow, or no worker is there.
	if s.takenBack(ctx, run) {
		return hook.Unavailable("the worker", errors.Join(hook.ErrNotSent, err))
	}
	return sendError(s.outcome(ctx, run, contract.SendNowTimeout))
}

// workerTimeout is how long the outcome may take before Send checks whether a worker has taken the workflow at all.
const workerTimeout = 5 * time.Second

func (s *SendNow) outcome(ctx context.Context, run client.WorkflowRun, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var outcome contract.Outcome
	return run.Get(ctx, &outcome)
}

// takenBack terminates a workflow that no worker has taken, and reports whether it did. A worker may take it between
// the look and the end, so the length of the history at the end decides.
func (s *SendNow) takenBack(ctx context.Context, run client.WorkflowRun) bool {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	d, err := s.temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	if err != nil || d.GetPendingWorkflowTask().GetState() != enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED ||
		d.GetWorkflowExecutionInfo().GetHistoryLength() > untakenHistory {
		return false
	}
	if err := s.temporal.TerminateWorkflow(ctx, run.GetID(), run.GetRunID(), "no worker took it in time"); err != nil {
		return false
	}
	d, err = s.temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	return err == nil && d.GetWorkflowExecutionInfo().GetHistoryLength() == untakenHistory+1
}

// untakenHistory is the number of events in the history of a workflow that no worker has taken: it was started, and its
// task was scheduled. Its termination is one more event.
const untakenHistory = 2

// sendError returns the error of Send for the error of a workflow.
func sendError(err error) error {
	if err == nil {
		return nil
	}
	var app *temporal.ApplicationError
	var late *temporal.TimeoutError
	switch {
	case errors.As(err, &app) && app.Type() == contract.ErrorLimited:
		limited := contract.Limited{Message: "the webhook is over a limit", RetryAfter: time.Second}
		_ = app.Details(&limited) // without details the defaults above hold
		return &hook.Error{Kind: hook.KindRateLimited, Message: limited.Message, RetryAfter: limited.RetryAfter, Err: errors.Join(hook.ErrNotSent, err)}
	case errors.As(err, &app) && app.Type() == contract.ErrorRefused:
		refused := &hook.Error{Kind: hook.KindPrecondition, Message: "the webhook is deleted or disabled", Err: errors.Join(hook.ErrNotSent, err)}
		var kind hook.Kind
		_ = app.Details(&kind) // without details the reason above holds
		if kind == hook.KindNotFound {
			refused.Kind, refused.Message = kind, "delivery not found"
		}
		if kind == hook.KindSuspended {
			refused.Kind, refused.Message = kind, hook.Suspended().Message
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
