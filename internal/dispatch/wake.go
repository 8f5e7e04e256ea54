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

// Resetter resets the backoff of an activity, so that its next attempt begins now; temporalclient.Cluster does.
type Resetter interface {
	ResetActivity(ctx context.Context, workflowID, runID, activityID string) error
}

// wake resets the backoff of the activities of a workflow that would not try again within a time, and returns how many
// it has reset. An activity that finds nothing to do waits again.
func wake(ctx context.Context, r Resetter, d *workflowservice.DescribeWorkflowExecutionResponse, within time.Duration) (woken int, err error) {
	execution := d.GetWorkflowExecutionInfo().GetExecution()
	for _, a := range d.GetPendingActivities() {
		if !backsOff(a, within) {
			continue
		}
		err := r.ResetActivity(ctx, execution.GetWorkflowId(), execution.GetRunId(), a.GetActivityId())
		var notFound *serviceerror.NotFound
		if err != nil && !errors.As(err, &notFound) { // it may have ended meanwhile
			return woken, err
		}
		woken++
	}
	return woken, nil
}

// backsOff reports whether the activity's next attempt is further away than a time. It is false for an activity that a
// person has paused, which stays as it is.
func backsOff(a *workflowpb.PendingActivityInfo, within time.Duration) bool {
	at := a.GetNextAttemptScheduleTime()
	return a.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && !a.GetPaused() && at != nil && time.Until(at.AsTime()) > within
}
