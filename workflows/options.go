package workflows

import (
	"math"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// RetryPolicy returns the retry policy that fits the schedule best. For the default of 30 s,
// 5 min, 30 min, 2 h it is 30 s growing by 6.2145 = (7200/30)^(1/3) up to 2 h. It counts only
// after a crash or a timeout, where the reconciler keeps the delay from being hours; otherwise
// the activity asks for the exact delay by NextRetryDelay. Attempts are unlimited: the store
// counts the delivery's attempts, and an outage of ours must not use them up.
func RetryPolicy(s hook.Schedule) *temporal.RetryPolicy {
	first, last := s[0], s[len(s)-1]
	coefficient := 1.0
	if len(s) > 1 {
		coefficient = math.Pow(float64(last)/float64(first), 1/float64(len(s)-1))
	}
	return &temporal.RetryPolicy{InitialInterval: first, BackoffCoefficient: coefficient, MaximumInterval: max(last, leastMaximum)}
}

// leastMaximum is the least MaximumInterval: after crashes in a row the delays of a schedule
// of seconds would be too short. It does not bound the delays that an activity asks for: the
// server takes NextRetryDelay as it is, and the activity bounds it.
const leastMaximum = 2 * time.Hour

// deliverOptions returns the options of the activity Deliver.
func deliverOptions(ctx workflow.Context, s hook.Schedule, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: contract.RunTimeout,
		RetryPolicy:         RetryPolicy(s),
		Summary:             summary,
	})
}

// inlineOptions returns the options of the inline attempts: one run, no longer than a run of
// the regular activity.
func inlineOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: contract.RunTimeout,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary,
	})
}

// maxInlineDeliveries is the largest number of deliveries of an event whose first attempts are
// made within the workflow's first task.
const maxInlineDeliveries = 20

// inlineTaskTimeout bounds the workflow task in which inline attempts are made. Another worker
// repeats a task that runs out, with its requests. The SDK asks for more time at 80 % of the
// timeout: that is above the default timeout of webhooks, and the rest is for a process that
// stands still. A task that got lost on its way to a worker waits as long.
const inlineTaskTimeout = 20 * time.Second

// sendNowOptions returns the options of the activity SendNow: one attempt, which waits for a
// worker no longer than a person would.
func sendNowOptions(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    contract.RunTimeout,
		ScheduleToStartTimeout: contract.SendNowPatience,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}

// drainOptions returns the options of the activities Drain and Replay. The activity says when
// its next run is due, in five minutes at the latest; a crash costs a few seconds.
func drainOptions(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: contract.RunTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: drainRetry, BackoffCoefficient: 1, MaximumInterval: drainMost, MaximumAttempts: unlimited,
		},
	})
}

const (
	drainRetry = 5 * time.Second
	// drainMost is the MaximumInterval of drains, which a server requires to be no less than
	// drainRetry. It does not bound the delays that the activity asks for.
	drainMost = 10 * time.Minute
	// unlimited is the MaximumAttempts of drains. A server takes 0 as unlimited, the test
	// environment does not.
	unlimited = math.MaxInt32
)
