package dispatch

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// hurry ends the wait of a workflow's activities that would not make another attempt
// within a time, and returns how many. One of them with nothing to do just waits on.
func hurry(ctx context.Context, r Resetter, d *workflowservice.DescribeWorkflowExecutionResponse, within time.Duration) (hurried int, err error) {
	execution := d.GetWorkflowExecutionInfo().GetExecution()
	for _, a := range d.GetPendingActivities() {
		if !waits(a, within) {
			continue
		}
		err := r.ResetActivity(ctx, execution.GetWorkflowId(), execution.GetRunId(), a.GetActivityId())
		var notFound *serviceerror.NotFound
		if err != nil && !errors.As(err, &notFound) { // it may have ended by now
			return hurried, err
		}
		hurried++
	}
	return hurried, nil
}

// waits tells an activity whose next attempt is further away; one that a person has
// paused stays as it is.
func waits(a *workflowpb.PendingActivityInfo, within time.Duration) bool {
	at := a.GetNextAttemptScheduleTime()
	return a.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && !a.GetPaused() && at != nil && time.Until(at.AsTime()) > within
}
